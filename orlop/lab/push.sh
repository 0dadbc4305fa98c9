# Run on a machine by `orlop lab push`, as: sh -c THIS push LAYER BUILD COUNT RELOAD RESTART REREAD, a tar archive on its
# input. It holds files.json, points (folders below /usr, a line each) and layer/usr with what the machine is to have.
#
# The layer is unpacked beside what the machine has and tried; then overlays of it and the image's own folders take the
# places of those before. Until that is done, a failure leaves what was there. All of it is in /run.
# Says, a line each: `ran UNIT`, `failed UNIT`, `idle UNIT` (it was not running), `verdict JSON`, `| TEXT`.
set -eu
umask 022
KEPT=5              # layers; their names sort by age
place=/run/orlop/pushed new=$1 build=$2 count=$3 reload=$4 restart=$5 reread=$6

# lay LAYER POINT [AT]
lay() { mount -t overlay -o "ro,lowerdir=$place/$1/layer/usr/$2:$place/image/$2" orlop-lab "${3:-/usr/$2}"; }

on() { while read -r at; do lay "$1" "$at" || return 1; done < "$place/$1/points"; }

# Lazily: what runs keeps what it was started with. The inner ones first.
off() { sort -r "$place/$1/points" | while read -r at; do umount -l "/usr/$at" || :; done; }

undone() {
    umount -l "$place/$new/try" 2> /dev/null || :
    rm -rf "${place:?}/$new"
}

. /usr/lib/os-release
[ "$BUILD_ID" = "$build" ] || { echo "it has booted another image meanwhile" >&2; exit 1; }
mkdir -p $place
exec 9> $place/lock
flock -w 60 9 || { echo "somebody else is pushing to it" >&2; exit 1; }
if [ ! -d $place/image/lib ]; then
    # /usr without what is mounted in it, and private: what is mounted in /usr later must not appear here
    mkdir -p $place/image
    mount --bind /usr $place/image
    mount --make-private $place/image
fi
old=$(readlink $place/current || :)
trap undone EXIT
mkdir -p "$place/$new/try"
tar -xf - -C "$place/$new"

# a folder that the image has not can only appear in one that it has
while read -r at; do
    while [ ! -d "$place/image/$at" ]; do
        case $at in */*) at=${at%/*} ;; *) echo "the image has no folder /usr/$at" >&2; exit 1 ;; esac
    done
    echo "$at"
done < "$place/$new/points" > "$place/$new/points.there"
sort -u "$place/$new/points.there" > "$place/$new/points"
while read -r at; do
    lay "$new" "$at" "$place/$new/try"
    umount "$place/$new/try"
done < "$place/$new/points"

# From here on nobody's going away ends it half-way.
trap '' HUP INT TERM PIPE
ln -sfn "$new" $place/next
[ -z "$old" ] || off "$old"
if ! on "$new"; then
    off "$new" 2> /dev/null || :
    [ -z "$old" ] || on "$old"
    exit 1
fi
mv -T $place/next $place/current
# It is done; what goes wrong now is said, and changes nothing about that.
trap - EXIT
set +e
echo "orlop-lab: modified: $count files" > /dev/console
# A service that was not restarted may still import from the layer it was started with.
set -- $place/layer-*
while [ $# -gt $KEPT ]; do
    rm -rf "$1"
    shift
done

[ "$reload" = no ] || systemctl daemon-reload || echo "failed daemon-reload"
again=''
for unit in $restart $reread; do
    case $(systemctl is-active "$unit") in
        active | activating | reloading | failed) again="$again $unit" ;;
        *) echo "idle $unit" ;;
    esac
done
for unit in $again; do
    case " $reread " in *" $unit "*) verb=reload-or-restart ;; *) verb=restart ;; esac
    if why=$(systemctl $verb "$unit" 2>&1); then
        echo "ran $unit"
    else
        echo "failed $unit"
        { echo "$why"; journalctl -u "$unit" -b -n 15 --no-pager -o cat; } | sed 's/^/| /'
    fi
    [ "$unit" != orlop-health.service ] || echo "verdict $(cat /run/orlop/health.json)"
done
