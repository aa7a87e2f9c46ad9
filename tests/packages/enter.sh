#!/bin/sh
# enter.sh ROOT PACKAGES ARCHIVES VERSION: lifecycle.sh inside of ROOT, in a mount namespace that ends with it. ARCHIVES
# keeps what apt downloads for the next time.
set -eu
root=$1

mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
for node in null zero urandom; do
    [ -e "$root/dev/$node" ] || touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir -p "$root/packages"
mount --bind "$2" "$root/packages"
mount --bind "$3" "$root/var/cache/apt/archives"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp tests/packages/lifecycle.sh "$root/packages/"
exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    ${http_proxy:+http_proxy="$http_proxy"} DEBIAN_FRONTEND=noninteractive sh /packages/lifecycle.sh "$4"
