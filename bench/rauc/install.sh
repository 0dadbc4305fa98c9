#!/bin/sh
# install.sh A|B URL: running from that slot, fetch the bundle as an update script would, going on where a download was
# cut, and install it. Prints milliseconds. The service is started first and is not timed: on a machine it runs already.
mkdir -p /run/dbus
dbus-daemon --system --fork --nopidfile
rauc --conf=/mnt/rauc/system.conf --override-boot-slot="$1" service >/mnt/rauc/log 2>&1 &
for _ in $(seq 100); do
    rauc status >/dev/null 2>&1 && break
    sleep 0.1
done
start=$(date +%s%N)
curl --silent --show-error --fail --continue-at - --output /mnt/rauc/download.raucb "$2" || exit 1
rauc install /mnt/rauc/download.raucb >&2 || exit 1
echo $((($(date +%s%N) - start) / 1000000))
