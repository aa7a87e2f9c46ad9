#!/bin/sh
# Flashes a card for the appliance's virtual machine, under target/hardware/appliance: the image as it is, on a disk that
# is larger than it, with a configuration on the FAT partition as a person would write it. Kernel and initrd, which
# the Raspberry Pi's firmware would load from that partition, are taken out of it for QEMU.
#
#   guest.sh IMAGE
set -eu

here=$(dirname "$(readlink -f "$0")")
out=$(readlink -f "$here/../../..")/target/hardware/appliance
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$out"

card=$out/card.img
rm -f "$card"
cp --sparse=always "$1" "$card"
truncate --size 1G "$card"
# In sectors of 512 bytes.
start=$(sfdisk --dump "$card" | sed -n 's/.*start= *\([0-9]*\),.*type=c.*/\1/p')
fat=$card@@$((start * 512))
mcopy -n -o -i "$fat" ::vmlinuz ::initrd.img "$out/"
mcopy -o -i "$fat" "$here/callbox.toml" ::callbox.toml
