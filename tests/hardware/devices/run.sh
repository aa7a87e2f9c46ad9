#!/bin/sh
# The program on virtual devices: Callbox in a guest machine whose camera and sound card the kernel makes up, called by a
# browser outside. Installs what is missing, builds the guest, and runs devices.test.mjs in a network of its own.
#
#   CALLBOX_BIN=PATH       take this binary instead of building one
#   HARDWARE_ACCEL=tcg     do not try hardware virtualisation (kvm)
set -eu

here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../../..")
out=$root/target/hardware/devices
cd "$root"
PATH=$PATH:/usr/sbin:/sbin

if [ "$(uname -m)" != x86_64 ] || ! grep -q '^ID=debian' /etc/os-release; then
    echo "device test: it builds its guest from Debian's packages for x86-64; run it on Debian 12 or 13 on such a machine" >&2
    exit 2
fi

scripts/setup test
scripts/setup hardware

if [ -z "${CALLBOX_BIN:-}" ]; then
    cargo build --release --locked --quiet
    CALLBOX_BIN=${CARGO_TARGET_DIR:-target}/release/callbox
fi
"$here/guest.sh" base
"$here/guest.sh" program "$CALLBOX_BIN"
cat "$out/base.cpio.gz" "$out/program.cpio.gz" > "$out/initrd"

exec "$here/../network" timeout --kill-after=5 600 node --test --test-reporter=spec "$here/devices.test.mjs"
