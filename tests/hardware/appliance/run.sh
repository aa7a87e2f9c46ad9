#!/bin/sh
# The appliance on virtual hardware: flashes cards with the image and runs the tests beside this file, one after the other,
# in a network of their own.
#
#   run.sh [IMAGE]      the newest under target/image where none is named
set -eu

here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../../..")
image=${1:-$(find "${CARGO_TARGET_DIR:-$root/target}/image" -name 'callbox-rpi-*.img' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)}
[ -f "$image" ] || { echo "hardware test: there is no image; make image BOARD=rpi builds one" >&2; exit 2; }

"$root/scripts/setup" test
"$root/scripts/setup" hardware
CHROMIUM_BIN=$("$root/scripts/setup" chromium)
export CHROMIUM_BIN
echo "hardware test: $image"
"$here/guest.sh" "$image"
exec "$here/../network" timeout --kill-after=5 3600 node --test --test-concurrency=1 --test-reporter=spec \
    "$here/setup.test.mjs" "$here/appliance.test.mjs"
