#!/bin/sh
# Flashes cards for the appliance's virtual machine, under target/hardware/appliance: the image as it is, on disks that
# are larger than it. fresh.img is left so; card.img gets a configuration on the FAT partition as a person would write it.
# Kernel and initrd, which the Raspberry Pi's firmware would load from that partition, are taken out of it for QEMU.
#
#   guest.sh IMAGE
set -eu

here=$(dirname "$(readlink -f "$0")")
out=$(readlink -f "$here/../../..")/target/hardware/appliance
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$out"

card=$out/card.img
rm -f "$card" "$out/fresh.img"
cp --sparse=always "$1" "$card"
truncate --size 1G "$card"
cp --sparse=always "$card" "$out/fresh.img"
# In sectors of 512 bytes.
start=$(sfdisk --dump "$card" | sed -n 's/.*start= *\([0-9]*\),.*type=c.*/\1/p')
fat=$card@@$((start * 512))
mcopy -n -o -i "$fat" ::vmlinuz ::initrd.img "$out/"
mcopy -o -i "$fat" "$here/callbox.toml" ::callbox.toml
