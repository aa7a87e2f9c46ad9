#!/bin/sh
# The power-cut test: builds its guest, and runs it until the power has been cut a hundred times and more; then once with
# settings that are written in place, which has to be noticed.
#
#   CALLBOX_BIN=PATH CALLBOX_UPDATE_BIN=PATH   the programs under test, built for this machine
#   CUTS, GUESTS, SEED, VERBOSE                as power.mjs says
set -eu

here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
PATH=$PATH:/usr/sbin:/sbin

if [ "$(uname -m)" != x86_64 ] || ! grep -q '^ID=debian' /etc/os-release; then
    echo "power: the guest is built from Debian's packages for x86-64; run it on Debian 12 or 13 on such a machine" >&2
    exit 2
fi
scripts/setup power
"$here/guest.sh" "${CALLBOX_BIN:?the path of callbox}" "${CALLBOX_UPDATE_BIN:?the path of callbox-update}"
node "$here/power.mjs"
NAIVE=1 node "$here/power.mjs"
