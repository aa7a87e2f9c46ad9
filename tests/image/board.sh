# Cards and emulated boards. Sourced by run, which sets $image, $work, $fat_offset and $patience.

say() { printf 'test-image: %s\n' "$*"; }
die() {
    say "FAILED: $*" >&2
    for console in "$work"/*.console; do
        [ ! -f "$console" ] || { echo "--- $console" >&2; tail -n 40 "$console" >&2; }
    done
    exit 1
}

partition() { # image number file
    local start size
    read -r start size < <(sfdisk --json "$1" | tr -d ' ,"' | awk -F: -v want="$2" \
        '$1 == "start" { start = $2; n++ } $1 == "size" && n == want { print start, $2; exit }')
    dd if="$1" of="$3" bs=512 skip="$start" count="$size" status=none
}

to_fat() { mcopy -o -i "$work/$1.img@@$fat_offset" "$2" "::$3"; } # card file name
from_fat() { mcopy -n -i "$work/$1.img@@$fat_offset" "::$2" "$3"; } # card name file

# Free ports on loopback, one after the other.
port() { echo $((20000 + (BASHPID + RANDOM) % 20000)); }

# Boots a card. The Raspberry Pi's firmware is no part of QEMU: its work, loading three files and the command line from
# the FAT partition, is done here.
boot() { # card raspi3b|virt
    local name=$1 ssh page http files=$work/$1.files
    mkdir -p "$files"
    for file in vmlinuz initrd.img bcm2837-rpi-3-b.dtb cmdline.txt; do from_fat "$name" "$file" "$files/$file"; done
    ssh=$(port) page=$(port) http=$(port)
    echo "$ssh" > "$work/$name.ssh-port"
    echo "$page" > "$work/$name.page-port"
    rm -f "$work/known_hosts"
    # restrict: nothing but these ports, neither names nor time from outside.
    local network="user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$ssh-:22,hostfwd=tcp:127.0.0.1:$page-:8443"
    network+=",hostfwd=tcp:127.0.0.1:$http-:8080"
    local arguments=(-display none -no-reboot -kernel "$files/vmlinuz" -initrd "$files/initrd.img" -netdev "$network"
        -drive "file=$work/$name.img,format=raw,if=$([ "$2" = virt ] && echo none,id=card || echo sd)")
    local line
    line=$(cat "$files/cmdline.txt")
    case $2 in
        # QEMU's watchdog of this board does not count: it resets as soon as it is started.
        # The first serial line is the PL011, the one with the console the second.
        raspi3b) arguments+=(-M raspi3b -dtb "$files/bcm2837-rpi-3-b.dtb" -device usb-net,netdev=net
            -serial null -serial "file:$work/$name.console" -append "$line systemd.watchdog_sec=0") ;;
        virt) arguments+=(-M virt -cpu cortex-a53 -smp 2 -m 1024 -device virtio-blk-pci,drive=card
            -device virtio-net-pci,netdev=net,romfile= -serial "file:$work/$name.console" -append "$line console=ttyAMA0") ;;
    esac
    say "$name starts on $2"
    date +%s > "$work/$name.started"
    qemu-system-aarch64 "${arguments[@]}" > "$work/$name.qemu" 2>&1 &
    echo $! > "$work/$name.pid"
}

on() { # card command...
    local name=$1
    shift
    ssh -q -i "$work/key" -p "$(cat "$work/$name.ssh-port")" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o ConnectTimeout=20 -o ServerAliveInterval=20 -o BatchMode=yes root@127.0.0.1 "$@"
}

since_start() { echo $(($(date +%s) - $(cat "$work/$1.started"))); }

# until_holds CARD WHAT COMMAND...: asks until it holds, or the board is gone, or patience ends.
until_holds() {
    local name=$1 what=$2
    shift 2
    until "$@"; do
        kill -0 "$(cat "$work/$name.pid")" 2> /dev/null || die "$name is gone: $(cat "$work/$name.qemu")"
        [ "$(since_start "$name")" -lt "$patience" ] || die "$name: $what did not happen within $patience s"
        sleep 2
    done
    say "$name: $what after $(since_start "$name") s"
}

wait_for_ssh() { until_holds "$1" "ssh with the key on the card" on "$1" true; }
is_registered() { on "$1" callbox status --json 2> /dev/null | tr -d ' \n' | grep -q '"registration":{[^}]*"registered"'; }
wait_registered() { until_holds "$1" "registered" is_registered "$1"; }

page_is_served() { # card
    local page
    page=$(curl --silent --show-error --insecure --max-time 60 "https://127.0.0.1:$(cat "$work/$1.page-port")/") ||
        die "the page is not served"
    [[ "$page" = *"<html"* ]] || die "what is served is no page: $page"
    say "$1: the page is served over HTTPS"
}

boot_times() { # card
    on "$1" 'systemd-analyze time; systemd-analyze critical-chain callbox.service --no-pager; systemd-analyze blame --no-pager | head -n 12
        systemctl --failed --no-legend --plain; free -m | head -n 2' | tee "$work/$1.times"
}

# A line for everything that has to be this board's alone: what, and its hash.
identity() { # card
    on "$1" '
        hash() { sha256sum | cut -c1-32; }
        echo "machine-id $(hash < /etc/machine-id)"
        echo "ssh-host-key $(ssh-keygen -y -f /var/lib/callbox-state/ssh/ssh_host_ed25519_key | cut -d" " -f2 | hash)"
        echo "file-system $(findmnt -no UUID /var/lib/callbox-state | hash)"
        find /var/lib/callbox -type f \( -name "*.pem" -o -name "*key*" -o -name "*.der" \) | sort | while read -r file; do
            echo "callbox:${file#/var/lib/callbox/} $(hash < "$file")"
        done'
}

# The state takes what the image does not: 600 MB of this card at least.
grown() { # card
    local size
    size=$(on "$1" df --output=size -m /var/lib/callbox-state | tail -n 1 | tr -d ' ')
    [ "$size" -gt 500 ] || die "the state partition has not grown: $size MiB"
    say "$1: the state partition has $size MiB"
}

# What the system promises about itself.
guarded() { # card
    on "$1" '
        set -e
        fail() { echo "$*"; exit 1; }
        findmnt -no FSTYPE / | grep -q overlay || fail "the root is no overlay"
        findmnt -no OPTIONS /boot/firmware | grep -qw ro || fail "the FAT partition can be written"
        findmnt -no FSTYPE /tmp | grep -q tmpfs || fail "/tmp is no tmpfs"
        grep -q zram0 /proc/swaps || fail "no zram"
        [ "$(grep -c ^/ /proc/swaps)" = 1 ] || fail "swap outside of zram"
        systemctl show -p RuntimeWatchdogUSec --value | grep -q 14s || fail "no watchdog time-out"
        [ "$(date +%Y)" -ge 2026 ] || fail "the clock is before the build"
        resolvectl mdns | grep -q yes || fail "no multicast DNS"
        [ -d /var/log/journal/$(cat /etc/machine-id) ] || fail "the journal is not kept"
        for unit in callbox systemd-networkd systemd-resolved systemd-timesyncd; do
            systemctl is-active --quiet $unit || fail "$unit does not run"
        done' > "$work/$1.guarded" 2>&1 || die "$(cat "$work/$1.guarded")"
    say "$1: read-only root, tmpfs, zram, watchdog, clock, mDNS and journal are as they should be"
}

shut_down() { # card
    on "$1" systemctl poweroff || true
    local waited=0 pid
    pid=$(cat "$work/$1.pid")
    # QEMU's Raspberry Pi has no switch that it could turn off.
    while kill -0 "$pid" 2> /dev/null && [ "$waited" -lt 90 ] && ! grep -q 'Power down\|System halted\|Powering off' "$work/$1.console"; do
        sleep 1
        waited=$((waited + 1))
    done
    cut_power "$1"
}

cut_power() { # card
    kill -KILL "$(cat "$work/$1.pid")" 2> /dev/null || true
    wait "$(cat "$work/$1.pid")" 2> /dev/null || true
}

stop_boards() {
    local pid
    for pid in "$work"/*.pid; do
        [ ! -f "$pid" ] || kill -KILL "$(cat "$pid")" 2> /dev/null || true
    done
}
