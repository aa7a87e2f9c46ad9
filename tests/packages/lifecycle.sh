#!/bin/sh
# lifecycle.sh VERSION: install, upgrade, remove and purge the packages on this system, and change from one to the other.
# Runs as root on a system that is thrown away. No systemd runs here, as in any chroot: installing must succeed all the same.
set -eu
version=$1
cd /packages

main() {
    apt update
    the_server_alone
    installed
    upgraded
    removed_and_back
    the_server_takes_over
    the_intercom_takes_over
    purged
    # For booted.sh, which comes next.
    apt install systemd-sysv dbus
}

the_server_alone() {
    step "callbox-server alone"
    apt install ./callbox-server.deb
    files_are_there callbox-server
    a_user_is_there
    runs
    callbox --help | grep -q '^  server ' || fail "there is no command server"
    ! callbox --help | grep -q '^  run ' || fail "it has the command run"
    ! dpkg-query -W -f='${db:Status-Status}\n' 'libasound2*' 2>/dev/null | grep -q '^installed' || fail "it brings ALSA"
    ! ldd /usr/bin/callbox | grep -E 'asound|not found' || fail "it is linked with ALSA, or lacks a library"
    on callbox-server.service
    apt purge callbox-server
    nothing_is_left
}

installed() {
    step "install"
    apt install ./callbox.deb
    files_are_there callbox
    a_user_is_there
    for group in audio video; do
        id -nG callbox | grep -qw $group || fail "the user is not in the group $group"
    done
    runs
    ! ldd /usr/bin/callbox | grep 'not found' || fail "it lacks a library"
    on callbox.service
    off callbox-server.service
    bash -n /usr/share/bash-completion/completions/callbox || fail "bash does not understand the completions"
}

upgraded() {
    step "upgrade, with settings of one's own and nothing new in the package's"
    sed -i 's/^#level = "info"/level = "debug"/' /etc/callbox/callbox.toml
    mine=$(cat /etc/callbox/callbox.toml)
    a_state
    apt install ./callbox-1.deb
    is_version "$version+1"
    settings_are_mine
    on callbox.service

    step "upgrade, with settings of one's own and news in the package's, the service switched off"
    systemctl --quiet disable callbox.service
    apt -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install ./callbox-2.deb
    is_version "$version+2"
    settings_are_mine
    grep -q 'This line is news' /etc/callbox/callbox.toml.dpkg-dist || fail "the new settings are not beside the own"
    off callbox.service
    the_state_is_there
    systemctl --quiet enable callbox.service
}

removed_and_back() {
    step "remove"
    apt remove callbox
    [ ! -e /usr/bin/callbox ] || fail "the program is still there"
    settings_are_mine
    the_state_is_there
    step "install again"
    apt install ./callbox-2.deb
    settings_are_mine
    the_state_is_there
    on callbox.service
}

the_server_takes_over() {
    step "callbox-server in place of callbox"
    apt install ./callbox-server-2.deb
    ! is_installed callbox || fail "callbox is still installed"
    on callbox-server.service
    settings_are_mine
    apt purge callbox
    settings_are_mine
    the_state_is_there
    on callbox-server.service
    runs
}

the_intercom_takes_over() {
    step "callbox in place of callbox-server"
    apt install ./callbox-2.deb
    ! is_installed callbox-server || fail "callbox-server is still installed"
    on callbox.service
    off callbox-server.service
    apt purge callbox-server
    settings_are_mine
    the_state_is_there
    on callbox.service
    runs
}

purged() {
    step "purge"
    apt purge callbox
    nothing_is_left
    getent passwd callbox >/dev/null || fail "the user is gone, its number may go to another"
}

step() { doing=$1; printf 'packages: %s, %s\n' "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$1" >&2; }
fail() { printf 'packages: %s: %s\n' "$doing" "$1" >&2; exit 1; }

# What apt prints is of interest only where it fails. Nobody answers its questions.
apt() {
    apt-get -q -y -o Dpkg::Use-Pty=0 "$@" </dev/null >/tmp/apt.log 2>&1 || {
        cat /tmp/apt.log >&2
        fail "apt-get $* failed"
    }
    ! grep -E '^(Failed|Error|dpkg: (error|warning)|W:|E:)' /tmp/apt.log | grep -v 'sandbox user' ||
        fail "apt-get $* complains"
}

files_are_there() {
    dpkg -L "$1" | while read -r file; do
        # Minimal systems may be told to leave documents out; this one is not.
        [ -e "$file" ] || fail "$file is not there"
    done
    for file in /usr/share/man/man1/callbox.1.gz /usr/share/man/man1/callbox-server.1.gz "/usr/share/doc/$1/copyright" \
        "/usr/share/doc/$1/changelog.gz" "/usr/share/doc/$1/THIRD-PARTY.gz" "/usr/share/doc/$1/$1.cdx.json.gz" /etc/callbox/callbox.toml \
        /usr/share/zsh/vendor-completions/_callbox /usr/share/fish/vendor_completions.d/callbox.fish; do
        [ -s "$file" ] || fail "$file is not there"
    done
    [ -z "$(dpkg --verify "$1")" ] || fail "$(dpkg --verify "$1")"
}

a_user_is_there() {
    [ "$(getent passwd callbox | cut -d: -f6,7)" = /var/lib/callbox:/usr/sbin/nologin ] ||
        fail "the user is $(getent passwd callbox || echo missing)"
}

# The shipped settings are the defaults, and settings of one's own are understood.
runs() {
    [ "$(callbox --version)" = "callbox $version" ] || fail "it is $(callbox --version)"
    callbox check >/tmp/check || fail "callbox check failed"
    grep -q '^# Read from /etc/callbox/callbox.toml' /tmp/check || fail "callbox check did not read the settings"
    if grep -q '^#level' /etc/callbox/callbox.toml; then
        ! grep '# /etc/callbox/callbox.toml:' /tmp/check || fail "the shipped settings change something"
    fi
}

is_version() {
    [ "$(dpkg-query -W -f='${Version}' callbox)" = "$1" ] || fail "the version is $(dpkg-query -W callbox)"
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

on() {
    [ "$(systemctl is-enabled "$1")" = enabled ] || fail "$1 is $(systemctl is-enabled "$1"), it should be on"
}

off() {
    [ "$(systemctl is-enabled "$1")" = disabled ] || fail "$1 is $(systemctl is-enabled "$1"), it should be off"
}

settings_are_mine() {
    [ "$(cat /etc/callbox/callbox.toml)" = "$mine" ] || fail "the settings have changed"
}

a_state() {
    install -d -o callbox -g callbox -m 750 /var/lib/callbox
    echo kept >/var/lib/callbox/state
}

the_state_is_there() {
    [ "$(cat /var/lib/callbox/state)" = kept ] || fail "the state is lost"
}

nothing_is_left() {
    for path in /usr/bin/callbox /etc/callbox /var/lib/callbox; do
        [ ! -e "$path" ] || fail "$path is left"
    done
    left=$(find /etc/systemd /usr/lib/systemd /var/lib/systemd /usr/share /usr/lib/sysusers.d /usr/lib/udev \
        -name '*callbox*' 2>/dev/null || true)
    [ -z "$left" ] || fail "these are left: $left"
}

main
