#!/bin/sh
# boot.sh ROOT PACKAGES VERSION: booted.sh inside of ROOT, under its own systemd and without a network.
set -eu
root=$1
packages=$2

cp tests/packages/booted.sh "$packages/"
rm -f "$packages/verdict"
mkdir -p "$root/packages"
cat >"$root/etc/systemd/system/packages-test.service" <<UNIT
[Unit]
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/bin/sh /packages/booted.sh $3
StandardOutput=append:/packages/booted.log
StandardError=append:/packages/booted.log
TimeoutStartSec=300
[Install]
WantedBy=multi-user.target
UNIT
ln -sf ../packages-test.service "$root/etc/systemd/system/multi-user.target.wants/packages-test.service"
ln -sf /dev/null "$root/etc/systemd/system/apt-daily.timer"
# Debian 13 insists where the host still has the older control groups.
timeout 400 systemd-nspawn --quiet --directory="$root" --bind="$packages:/packages" --boot --private-network \
    --register=no --keep-unit --machine=callbox-packages -- SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 \
    </dev/null >"$packages/console.log" 2>&1 || true
[ ! -f "$packages/booted.log" ] || cat "$packages/booted.log" >&2
[ "$(cat "$packages/verdict" 2>/dev/null)" = passed ] || {
    [ -f "$packages/booted.log" ] || tail -n 30 "$packages/console.log" >&2
    exit 1
}
rm -f "$packages/booted.log"
