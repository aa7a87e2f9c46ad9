#!/bin/sh
# booted.sh VERSION: what the packages do to services that run. Runs as root under systemd, on a system that has what
# callbox depends on, and no network.
set -eu
version=$1
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
cd /packages

main() {
    step "install"
    apt install ./callbox.deb
    running callbox.service
    idle callbox-server.service
    callbox status >/dev/null || fail "callbox status finds no daemon"
    [ "$(ps_user callbox.service)" = callbox ] || fail "it runs as $(ps_user callbox.service)"
    [ "$(stat -c %U /var/lib/callbox)" = callbox ] || fail "its state belongs to $(stat -c %U /var/lib/callbox)"

    step "upgrade"
    before=$(pid callbox.service)
    apt install ./callbox-1.deb
    running callbox.service
    [ "$(pid callbox.service)" != "$before" ] || fail "the old program still runs"

    step "upgrade, stopped and switched off"
    systemctl --quiet disable --now callbox.service
    apt install ./callbox-2.deb
    idle callbox.service
    systemctl --quiet enable --now callbox.service

    step "callbox-server in place of callbox"
    apt install ./callbox-server-2.deb
    idle callbox.service
    running callbox-server.service

    step "and back"
    apt install ./callbox-2.deb
    idle callbox-server.service
    running callbox.service

    step "remove"
    apt remove callbox
    idle callbox.service
    [ -d /var/lib/callbox ] || fail "the state is gone"

    step "purge"
    apt purge callbox callbox-server
    [ ! -e /var/lib/callbox ] || fail "the state is left"
    [ -z "$(systemctl list-units --failed --plain --no-legend 'callbox*')" ] || fail "a unit has failed"
    echo passed >verdict
}

step() { doing=$1; printf 'packages: %s under systemd, %s\n' "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$1"; }
fail() {
    printf 'packages: %s: %s\n' "$doing" "$1"
    journalctl --no-pager --quiet --lines=30 --unit='callbox*' || true
    exit 1
}

apt() {
    apt-get -q -y -o Dpkg::Use-Pty=0 "$@" </dev/null >/tmp/apt.log 2>&1 || {
        cat /tmp/apt.log
        fail "apt-get $* failed"
    }
}

running() {
    [ "$(systemctl is-active "$1")" = active ] || fail "$1 is $(systemctl is-active "$1"), it should run"
}

idle() {
    case "$(systemctl is-active "$1")" in
        inactive | unknown) ;;
        *) fail "$1 is $(systemctl is-active "$1"), it should not run" ;;
    esac
}

pid() { systemctl show --property=MainPID --value "$1"; }
ps_user() { stat -c %U "/proc/$(pid "$1")"; }

main
