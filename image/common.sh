# What the scripts of the image share. Sourced; $here is the directory of the script.

tree=$(readlink -f "$here/..")
out=${CARGO_TARGET_DIR:-$tree/target}/image
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'image: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# What is not set by Debian's mirror, set by MIRROR: a cache in the neighbourhood, say.
sources() { # file
    mirror=${MIRROR:-http://deb.debian.org/debian}
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    cat > "$1" << END
deb [signed-by=$keys] $mirror trixie main non-free-firmware
deb [signed-by=$keys] $mirror trixie-updates main non-free-firmware
deb [signed-by=$keys] ${SECURITY_MIRROR:-http://deb.debian.org/debian-security} trixie-security main non-free-firmware
END
}

# Programs of the other architecture run in chroots only where the kernel opens the emulator itself (flag F).
emulation() {
    [ "$(uname -m)" != aarch64 ] || return 0
    binfmt=/proc/sys/fs/binfmt_misc
    [ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt"
    [ -e "$binfmt/qemu-aarch64" ] || update-binfmts --enable qemu-aarch64
    grep -q '^flags:.*F' "$binfmt/qemu-aarch64" || die "arm64 programs do not run in chroots here: qemu-user-static is missing,
  or $binfmt/qemu-aarch64 was registered without the flag F"
}

# A tar of a directory, the same for the same content.
pack() { # root tar
    tar --create --numeric-owner --xattrs --sort=name --file "$2.part" --directory "$1" .
    mv "$2.part" "$2"
}
