#!/bin/sh
# Builds the guest of the power-cut test under target/power: Debian's kernel, an initrd with busybox, dpkg, the repair
# tools and callbox-update, the disks as they are when new, and a disk of signed packages and settings. A second run
# does nothing unless something changed.
#
#   guest.sh CALLBOX CALLBOX_UPDATE     the two programs under test
set -eu

here=$(dirname "$(readlink -f "$0")")
tree=$(readlink -f "$here/../..")
out=$tree/target/power
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$out"

. "$tree/tests/guest-parts.sh"

package=$(kernel_package)
[ -n "$package" ] || { echo "power: apt knows no linux-image-amd64; run apt-get update" >&2; exit 1; }
stamp="$package $(cat "$tree/tests/guest-parts.sh" "$here"/*.sh "$here"/daemon.rs "$here"/guest/* "$tree/systemd/slots.conf" "$1" "$2" | cksum)"
[ "$(cat "$out/stamp" 2> /dev/null)" != "$stamp" ] || exit 0

kernel=$out/$package
if [ ! -f "$kernel/complete" ]; then
    echo "power: fetching Debian's kernel ${package#linux-image-}"
    rm -rf "$kernel"
    mkdir -p "$kernel/debs"
    (cd "$kernel/debs" && apt-get download -qq -o APT::Sandbox::User=root "$package" busybox-static)
    for deb in "$kernel"/debs/*.deb; do dpkg-deb --extract "$deb" "$kernel"; done
    # Debian 13 has them under /usr and compresses them.
    [ -d "$kernel/lib/modules" ] || { mkdir -p "$kernel/lib" && mv "$kernel/usr/lib/modules" "$kernel/lib/"; }
    find "$kernel/lib" -name '*.ko.xz' -exec unxz {} +
    depmod --basedir "$kernel" "${package#linux-image-}"
    # Unpacking itself is most of what the kernel would do at each boot.
    at=$(LC_ALL=C grep -obUaP '\xfd7zXZ\x00' "$kernel"/boot/vmlinuz-* | head -n1 | cut -d: -f1)
    tail -c +$((at + 1)) "$kernel"/boot/vmlinuz-* | unxz --quiet > "$kernel/vmlinux" 2> /dev/null || true
    rm -r "$kernel/debs"
    touch "$kernel/complete"
fi
version=${package#linux-image-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "power: building its file system"
root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp" "$root/lib64" "$root/usr/bin" "$root/usr/local/bin" \
    "$root/etc/callbox/update-keys" "$root/etc/systemd/system/callbox.service.d" "$root/var/lib/dpkg/info" \
    "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
cp "$(find "$kernel" -type f -path '*bin/busybox')" "$root/bin/busybox"
for program in dpkg dpkg-deb dpkg-query tar e2fsck fsck.fat; do
    install_with_libraries "$root" "$(command -v $program)" "/usr/local/bin/$program"
done
install_with_libraries "$root" "$2" /usr/bin/callbox-update
# Its libraries alone: the program itself is on the disk of packages.
install_with_libraries "$root" "$1" /usr/bin/callbox
strip "$root/usr/bin/callbox-update"
rustc --edition 2024 -O -C strip=symbols -o "$work/daemon" "$here/daemon.rs"
install_with_libraries "$root" "$work/daemon" /usr/bin/callbox
install -m 755 "$here/guest/start" "$root/init"
install -m 755 "$here/guest/systemctl" "$root/usr/local/bin/systemctl"
cp "$tree/systemd/slots.conf" "$root/etc/systemd/system/callbox.service.d/"
printf 'root:x:0:0:root:/:/bin/sh\n' > "$root/etc/passwd"
printf 'root:x:0:\n' > "$root/etc/group"
printf 'Package: callbox\nStatus: install ok installed\nMaintainer: -\nArchitecture: amd64\nVersion: 1.0\nDescription: -\n' \
    > "$root/var/lib/dpkg/status"
install_modules "$root" "$kernel" "$version" virtio_pci virtio_blk ext4 vfat nls_cp437 nls_ascii

echo "power: building and signing its packages"
packages=$work/packages
mkdir -p "$packages/config"
minisign -G -W -f -p "$root/etc/callbox/update-keys/test.pub" -s "$work/test.key" > /dev/null
known() { # file name
    echo "$(sha256sum < "$1" | cut -d' ' -f1) $2" >> "$packages/known"
}
known "$work/daemon" 1.0
for minor in 1 2 3 4 5 6 7 8 9; do
    deb=$work/1.$minor
    mkdir -p "$deb/DEBIAN" "$deb/usr/bin"
    # 1.3 and 1.6 crash at their start.
    case $minor in
        3 | 6) end=BROKEN ;;
        *) end=whole ;;
    esac
    { cat "$work/daemon"; head -c 400000 /dev/urandom; printf %s "$end"; } > "$deb/usr/bin/callbox"
    chmod 755 "$deb/usr/bin/callbox"
    known "$deb/usr/bin/callbox" "1.$minor"
    printf 'Package: callbox\nVersion: 1.%s\nArchitecture: amd64\nMaintainer: -\nDescription: -\n' "$minor" > "$deb/DEBIAN/control"
    dpkg-deb --root-owner-group -Zgzip -z1 --build "$deb" "$packages/1.$minor.deb" > /dev/null
    minisign -S -s "$work/test.key" -m "$packages/1.$minor.deb" > /dev/null
done
# Long enough to be torn: sixteen blocks.
for number in 1 2 3 4 5 6; do
    {
        printf '[device]\nid = "door%s"\nname = "Settings %s"\n' "$number" "$number"
        yes "# Settings $number, a line to be torn" | head -n 1500
        printf '[server]\nnames = ["door%s.example.org"]\n' "$number"
    } > "$packages/config/$number.toml"
    known "$packages/config/$number.toml" "config-$number"
done
install -m 755 "$1" "$packages/callbox"
strip "$packages/callbox"
head -c 1000000 /dev/urandom > "$work/kernel"
known "$work/kernel" kernel

(cd "$root" && find . | cpio --quiet --create --format=newc --owner=0:0) > "$out/initrd"
cp "$kernel/vmlinux" "$out/vmlinux"
mke2fs -q -t ext4 -O ^has_journal -d "$packages" -F "$out/packages.img" 96M
mke2fs -q -t ext4 -L callbox-state -F "$out/state.img" 64M
rm -f "$out/boot.img"
mkfs.fat -C -F 32 -n CALLBOX "$out/boot.img" 36864 > /dev/null
mcopy -i "$out/boot.img" "$work/kernel" ::kernel
mcopy -i "$out/boot.img" "$packages/config/1.toml" ::callbox.toml
rm -rf "$out/config"
cp -r "$packages/config" "$out/config"
echo "$stamp" > "$out/stamp"
