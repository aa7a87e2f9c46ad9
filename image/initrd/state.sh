# The state partition: grown to the end of the card, repaired where it can be, made anew where it cannot, and laid out
# under the root. It never stops a boot: an intercom that has lost its memory is better than none. What was lost is
# written to $lost, for the console and the report.
#
# Sourced by init, which defines in_root: it runs a program of the root file system.

lost=/run/callbox-state-lost.txt

# The image holds these bytes where the first boot is to make the file system.
empty_mark="callbox: no state yet"

tell() { printf '%s\n' "$*" >> "$lost"; }

# Up to the end of the card, in one sector's write. Then the kernel is told.
grow_partition() { # disk partition
    number=${2#"$1"} number=${number#p}
    sys=/sys/class/block/${2#/dev/}
    end=$(($(cat "$sys/start") + $(cat "$sys/size")))
    # Less than 4 MiB is left behind for alignment.
    [ $(($(cat "/sys/class/block/${1#/dev/}/size") - end)) -gt 8192 ] || return 0
    echo ', +' | in_root sfdisk --quiet --no-reread --no-tell-kernel --force --partno "$number" "$1" > /dev/null 2>&1
    in_root partx --update --nr "$number" "$1"
}

# Mounts the state; a tmpfs where the card takes no file system any more.
open_state() { # partition mountpoint
    mkdir -p "$2"
    if [ "$(dd if="$1" bs=${#empty_mark} count=1 2> /dev/null)" = "$empty_mark" ]; then
        make_state "$1" && mount_state "$1" "$2" && return 0
    else
        repair_state "$1"
        repaired=$?
        mounted=no
        mount_state "$1" "$2" && mounted=yes
        # The kernel gives up a file system that was marked as clean when it meets a gap: it had better be met here.
        if [ "$mounted" = yes ] && [ "$repaired" != 2 ] && ! find "$2" -xdev > /dev/null 2>&1; then
            umount "$2"
            repair_fully "$1"
            repaired=2
            mount_state "$1" "$2" || mounted=no
        fi
        if [ "$mounted" = yes ]; then
            [ "$repaired" -lt 2 ] || tell "The state partition was damaged and has been repaired."
            [ "$repaired" = 0 ] || tell_missing "$2"
            grow_state "$1" "$2"
            return 0
        fi
        make_state "$1" && mount_state "$1" "$2" && {
            tell "The state partition could not be read and was made anew. Lost are: the certificate of this board" \
                "(browsers have to trust the new one), the last good configuration, installed updates and the journal."
            return 0
        }
    fi
    mount -t tmpfs -o mode=755,size=64m state "$2"
    tell "The card takes no state partition: nothing will be remembered when the power goes. Replace the card."
}

# 0: nothing was wrong. 1: something was put right, which a cut of the power may leave behind. 2: it was damaged.
repair_state() { # partition
    in_root e2fsck -p "$1" > /run/callbox-fsck.log 2>&1
    case $? in
        0) return 0 ;;
        1 | 2 | 3) return 1 ;;
    esac
    repair_fully "$1"
    return 2
}

# Also what is marked as clean.
repair_fully() { # partition
    in_root e2fsck -f -y "$1" >> /run/callbox-fsck.log 2>&1
}

make_state() { # partition
    in_root mke2fs -q -F -t ext4 -L callbox-state -m 1 -E lazy_itable_init=1,lazy_journal_init=0 "$1" > /run/callbox-mkfs.log 2>&1
}

# Written every five seconds at the latest, and never again after an error.
mount_state() { # partition mountpoint
    mount -t ext4 -o noatime,commit=5,errors=remount-ro "$1" "$2" 2> /dev/null || return 1
    # What mounts may still not take a file.
    : > "$2/.writable" 2> /dev/null && rm "$2/.writable" && return 0
    umount "$2"
    return 1
}

# A card that was copied to a larger one, or a first boot that ended between partition and file system.
grow_state() { # partition mountpoint
    blocks=$(df -k "$2" | awk 'END { print $(NF - 4) }')
    size=$(($(cat "/sys/class/block/${1#/dev/}/size") / 2))
    # The journal and the tables take up to an eighth.
    [ $((blocks + size / 8 + 65536)) -lt "$size" ] || return 0
    in_root resize2fs "$1" > /run/callbox-resize.log 2>&1
}

# What every boot leaves in the state, and what it is good for.
tell_missing() { # mountpoint
    [ -s "$1/machine-id" ] || tell "Lost: the machine ID."
    [ -d "$1/callbox-board" ] || [ -d "$1/callbox/board" ] || tell "Lost: the last good configuration."
    [ -n "$(ls -A "$1/callbox" 2> /dev/null)" ] ||
        tell "Lost: the certificate of this board; browsers have to trust the new one."
    [ -d "$1/callbox-update" ] || tell "Lost: installed updates; the program of the image runs."
    [ -d "$1/journal" ] || tell "Lost: the journal."
    orphans=$(ls "$1/lost+found" 2> /dev/null | wc -l)
    [ "$orphans" = 0 ] || tell "$orphans files without a name are in /var/lib/callbox-state/lost+found."
}

lay_out_state() { # root state
    bind "$2/callbox" "$1/var/lib/callbox"
    bind "$2/callbox-board" "$1/var/lib/callbox-board"
    bind "$2/callbox-update" "$1/var/lib/callbox-update"
    bind "$2/systemd" "$1/var/lib/systemd"
    bind "$2/journal" "$1/var/log/journal"
    mkdir -p "$2/ssh"
    chmod 700 "$2/ssh"
    machine_id "$2/machine-id"
    cp "$2/machine-id" "$1/etc/machine-id"
}

bind() { # from to
    # A file where a directory belongs is what a repair leaves behind.
    [ -d "$1" ] || { rm -f "$1"; mkdir -p "$1"; }
    mkdir -p "$2"
    mount -o bind "$1" "$2"
}

# Made on the board, from the kernel's pool once it is filled: no two cards share it.
machine_id() { # file
    grep -qsE '^[0-9a-f]{32}$' "$1" && return 0
    # Version 4, variant 1 (RFC 4122), as systemd writes it.
    hex=$(dd if=/dev/random bs=16 count=1 2> /dev/null | od -An -v -tx1 | tr -d ' \n')
    echo "$(echo "$hex" | cut -c1-12)4$(echo "$hex" | cut -c14-16)a$(echo "$hex" | cut -c18-32)" > "$1.part"
    sync
    mv "$1.part" "$1"
    sync
}
