#!/bin/sh
# The test on virtual hardware: Callbox in a guest machine whose camera and sound card the kernel makes up, called by a
# browser outside. Installs what is missing, builds the guest, and runs hardware.test.mjs in a network of its own.
#
#   CALLBOX_BIN=PATH       take this binary instead of building one
#   HARDWARE_ACCEL=tcg     do not try hardware virtualisation (kvm)
set -eu

here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../..")
out=$root/target/hardware
cd "$root"
PATH=$PATH:/usr/sbin:/sbin

if [ "$(uname -m)" != x86_64 ] || ! grep -q '^ID=debian' /etc/os-release; then
    echo "hardware test: it builds its guest from Debian's packages for x86-64; run it on Debian 12 or 13 on such a machine" >&2
    exit 2
fi

scripts/setup test
missing=
need() { # program package
    command -v "$1" > /dev/null || missing="$missing $2"
}
need qemu-system-x86_64 qemu-system-x86
need cpio cpio
need depmod kmod
need ip iproute2
need strip binutils
need xz xz-utils
need arecord alsa-utils
need v4l2-ctl v4l-utils
need convert imagemagick
if [ -n "$missing" ]; then
    echo "hardware test: installing$missing"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
fi

if [ -z "${CALLBOX_BIN:-}" ]; then
    cargo build --release --locked --quiet
    CALLBOX_BIN=${CARGO_TARGET_DIR:-target}/release/callbox
fi
"$here/guest.sh" base
"$here/guest.sh" program "$CALLBOX_BIN"
cat "$out/base.cpio.gz" "$out/program.cpio.gz" > "$out/initrd"

# A network with nothing in it but this test and one end of a cable to the guest.
map_root=
[ "$(id -u)" = 0 ] || map_root=--map-root-user
exec unshare --net $map_root sh -euc '
    ip link set lo up
    ip tuntap add dev tap0 mode tap
    ip address add 10.77.0.1/24 dev tap0
    ip link set tap0 up
    exec timeout --kill-after=5 600 "$@"' sh node --test --test-reporter=spec "$here/hardware.test.mjs"
