# What the guests that are built on this machine have in common. Sourced by hardware/devices/guest.sh and power/guest.sh.

# The newest kernel's package.
kernel_package() {
    apt-cache depends --no-recommends linux-image-amd64 | awk '/Depends: linux-image-[0-9]/ { print $2; exit }'
}

# What one can execute, and every library that it loads, to the same paths under the root.
install_with_libraries() { # root program [path]
    mkdir -p "$1/usr/bin" "$1/lib64"
    install -m 755 "$2" "$1${3:-$2}"
    ldd "$2" | awk '$2 == "=>" && $3 ~ "^/" { print $3 } $1 ~ "^/" { print $1 }' | while read -r library; do
        mkdir -p "$1$(dirname "$library")"
        cp -L "$library" "$1$library"
    done
}

# Modules with those that they need, from an unpacked kernel package.
install_modules() { # root kernel version module...
    guest=$1 kernel=$2 version=$3
    shift 3
    for module in "$@"; do
        modprobe --dirname "$kernel" --set-version "$version" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
    done | sort -u | while read -r file; do
        path=/lib/modules/$version/${file#"$kernel/lib/modules/$version/"}
        mkdir -p "$guest$(dirname "$path")"
        cp "$file" "$guest$path"
    done
    cp "$kernel/lib/modules/$version/modules.order" "$kernel/lib/modules/$version/modules.builtin"* "$guest/lib/modules/$version/"
    depmod --basedir "$guest" "$version"
}
