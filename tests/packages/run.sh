#!/usr/bin/env bash
# The packages on clean systems: lintian first, then in a minimal Debian 12 and a minimal Debian 13 lifecycle.sh, with
# their own apt, and booted.sh, under their own systemd. `make test-packages` has built the packages. Needs root, for
# chroot and systemd-nspawn; the network, for apt.
# The systems are kept in target/packages and made again after a month.
set -euo pipefail
cd "$(dirname "$0")/../.."

MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
kept=$PWD/target/packages
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)
arch=amd64

main() {
    [ "$(dpkg --print-architecture)" = "$arch" ] || die "these tests run the programs of $arch, on $arch"
    mkdir -p "$kept"
    work=$(mktemp -d "$kept/run.XXXXXX")
    trap 'as_root rm -rf --one-file-system "$work"' EXIT
    mkdir "$work/deb"
    local package releases
    for package in callbox callbox-server; do
        cp "${DEB_OUT:-target/deb}/${package}_${version}_$arch.deb" "$work/deb/$package.deb"
    done
    lintian --allow-root --fail-on error,warning "$work"/deb/*.deb || die "lintian is not content"
    say "lintian is content"
    next callbox 1 ''
    next callbox 2 '# This line is news.'
    next callbox-server 2 '# This line is news.'

    read -ra releases <<<"${PACKAGE_TEST_RELEASES:-bookworm trixie}"
    for release in "${releases[@]}"; do
        local start=$SECONDS
        system "$release"
        as_root unshare --mount --propagation private tests/packages/enter.sh "$work/$release" "$work/deb" \
            "$kept/$release-archives" "$version"
        as_root tests/packages/boot.sh "$work/$release" "$work/deb" "$version"
        as_root rm -rf --one-file-system "${work:?}/$release"
        say "$release: passed in $((SECONDS - start)) s"
    done
}

say() { printf 'packages: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# next PACKAGE N LINE: the package as a later version, with LINE more in its configuration.
next() {
    local tree=$work/$1-$2
    dpkg-deb --raw-extract "$work/deb/$1.deb" "$tree"
    sed -i "s/^Version: .*/&+$2/" "$tree/DEBIAN/control"
    [ -z "$3" ] || echo "$3" >>"$tree/etc/callbox/callbox.toml"
    dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree" "$work/deb/$1-$2.deb" >/dev/null
    rm -rf "$tree"
}

# system RELEASE: a fresh copy of the smallest system that has apt.
system() {
    local tar=$kept/$1.tar
    if [ -z "$(find "$tar" -mtime -30 2>/dev/null)" ]; then
        say "making a minimal $1"
        # A release can be older than the clock allows, and is the same release.
        as_root mmdebstrap --quiet --mode=root --format=tar --variant=apt --architectures="$arch" \
            --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
            "$1" "$tar.unfinished" "deb $MIRROR $1 main"
        mv "$tar.unfinished" "$tar"
    fi
    mkdir -p "$work/$1" "$kept/$1-archives/partial"
    as_root tar -C "$work/$1" -xpf "$tar"
}

main
