#!/bin/sh
# Builds the guest of the device test under target/hardware/devices: Debian's kernel, which has the virtual camera (vivid)
# and the virtual sound card (snd-aloop), and an initrd that is the whole system: busybox, the modules needed, the ALSA and
# V4L2 tools. There is no disk, so a boot takes seconds and always starts from the same state. Everything built is kept;
# a second run does nothing unless this file, guest-parts.sh, guest/ or Debian's kernel changed.
#
#   guest.sh base               the kernel and base.cpio.gz
#   guest.sh program BINARY     program.cpio.gz: BINARY as /usr/bin/callbox with its shared libraries
set -eu

here=$(dirname "$(readlink -f "$0")")
tree=$(readlink -f "$here/../../..")
out=$tree/target/hardware/devices
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$out"

# virtio for the network and the control channel, and the devices under test.
modules="virtio_pci virtio_net virtio_rng virtio_console vivid v4l2loopback snd-aloop"
tools="/usr/bin/speaker-test /usr/bin/arecord /usr/bin/v4l2-ctl"

. "$tree/tests/guest-parts.sh"

pack() { # root archive
    (cd "$1" && find . | cpio --quiet --create --format=newc --owner=0:0) | gzip -1 > "$2.part"
    mv "$2.part" "$2"
}

fetch() { # package...
    (cd "$out/packages" && apt-get download -qq -o APT::Sandbox::User=root "$@")
}

# vivid knows no MJPEG, which is what most webcams speak: Debian's v4l2loopback, built here for the guest's kernel.
build_loopback_camera() { # version
    build=$out/packages/build
    fetch "linux-headers-$1" "$(apt-cache depends "linux-headers-$1" | awk '/Depends: linux-headers-.*-common/ { print $2 }')" \
        "$(apt-cache depends "linux-headers-$1" | awk '/Depends: linux-kbuild-/ { print $2 }')" v4l2loopback-dkms
    for deb in "$out"/packages/linux-headers-* "$out"/packages/linux-kbuild-* "$out"/packages/v4l2loopback-*; do
        dpkg-deb --extract "$deb" "$build"
    done
    sed -i "s|/usr/src|$build/usr/src|" "$build/usr/src/linux-headers-$1/Makefile"
    source=$(echo "$build"/usr/src/v4l2loopback-*)
    make -s -C "$build/usr/src/linux-headers-$1" "M=$source" modules > "$out/v4l2loopback.log" 2>&1 || {
        echo "guest: v4l2loopback does not build; see $out/v4l2loopback.log" >&2
        exit 1
    }
    strip --strip-debug -o "$kernel/lib/modules/$1/kernel/v4l2loopback.ko" "$source/v4l2loopback.ko"
}

base() {
    package=$(kernel_package)
    [ -n "$package" ] || { echo "guest: apt knows no linux-image-amd64; run apt-get update" >&2; exit 1; }
    version=${package#linux-image-}
    stamp="$package $(cat "$0" "$tree/tests/guest-parts.sh" "$here"/guest/* "$here/../agent" "$here/mjpeg-frames.mjs" | cksum)"
    [ "$(cat "$out/base.stamp" 2>/dev/null)" != "$stamp" ] || return 0

    kernel=$out/kernel-$version
    if [ ! -f "$kernel/complete" ]; then
        echo "guest: fetching Debian's kernel $version"
        rm -rf "$out"/kernel-* "$out/packages"
        mkdir -p "$kernel" "$out/packages"
        fetch "$package" busybox-static
        for deb in "$out"/packages/*.deb; do dpkg-deb --extract "$deb" "$out/packages/root"; done
        # Debian 13 has them under /usr and compresses the modules.
        mkdir -p "$kernel/lib"
        mv "$out"/packages/root/*/modules "$out"/packages/root/*/*/modules "$kernel/lib/" 2> /dev/null || true
        find "$kernel/lib" -name '*.ko.xz' -exec unxz {} +
        build_loopback_camera "$version"
        depmod --basedir "$kernel" "$version"
        mv "$out/packages/root/boot/vmlinuz-$version" "$kernel/vmlinuz"
        mv "$(find "$out/packages/root" -type f -path '*bin/busybox')" "$kernel/busybox"
        rm -r "$out/packages"
        touch "$kernel/complete"
    fi

    echo "guest: building its file system"
    root=$(mktemp -d)
    mkdir -p "$root/bin" "$root/etc" "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp" "$root/root" \
        "$root/usr/share"
    cp "$kernel/busybox" "$root/bin/busybox"
    ln -s /bin/busybox "$root/init"
    install_modules "$root" "$kernel" "$version" $modules
    for tool in $tools; do install_with_libraries "$root" "$tool"; done
    cp -rL /usr/share/alsa "$root/usr/share/alsa"
    install -m 755 "$here/guest/start" "$root/etc/start"
    install -m 755 "$here/guest/mjpeg-camera" "$root/usr/bin/mjpeg-camera"
    mkdir -p "$root/usr/share/mjpeg"
    node "$here/mjpeg-frames.mjs" "$root/usr/share/mjpeg" 320 180
    cp "$here/guest/inittab" "$here/guest/callbox.toml" "$here/../agent" "$root/etc/"
    pack "$root" "$out/base.cpio.gz"
    rm -r "$root"
    cp "$kernel/vmlinuz" "$out/vmlinuz"
    echo "$stamp" > "$out/base.stamp"
}

program() {
    root=$(mktemp -d)
    install_with_libraries "$root" "$1" /usr/bin/callbox
    # A debug build reads the page's files from the source tree.
    mkdir -p "$root$tree"
    cp -r "$tree/web" "$root$tree/web"
    pack "$root" "$out/program.cpio.gz"
    rm -r "$root"
}

case ${1:-} in
    base) base ;;
    program) program "$2" ;;
    *) echo "usage: guest.sh base | guest.sh program BINARY" >&2; exit 2 ;;
esac
