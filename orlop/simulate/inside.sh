#!/bin/sh
# Runs in the sandbox of orlop.simulate: /work is the run's folder, /sysroot an empty root with the image's /usr.
#   inside.sh fetch [network]   the config, with all that it merges, to cache.json
#   inside.sh files             cache.json onto the root; before.tar and after.tar are the root
# A stage that fails is no failure of this script: what it said is in STAGE.log, how it ended in STAGE.rc.
set -eu
work=/work

stage() {
    rc=0
    IGNITION_CONFIG_FILE=$work/config.ign /usr/lib/dracut/modules.d/30ignition/ignition \
        --platform=file --stage="$1" --root=/sysroot --log-to-stdout \
        --config-cache=$work/cache.json --state-file=$work/state --neednet=$work/neednet \
        >"$work/$1.log" 2>&1 || rc=$?
    echo $rc >"$work/$1.rc"
    return $rc
}

pack() {
    tar --create --file="$work/$1" --format=posix --numeric-owner --sort=name --one-file-system \
        --exclude=./usr --exclude=./proc --directory=/sysroot .
}

# The root as the initrd makes it before Ignition runs.
fresh() {
    rm -rf etc root
    cp -a usr/share/factory/etc .
    mkdir -m 0700 root
    ln -sf usr/bin usr/lib usr/lib64 usr/sbin .
    # Debian's Ignition labels what it wrote, and fails where there is no policy
    if [ ! -e etc/selinux/config ]; then
        mkdir -p etc/selinux
        echo SELINUXTYPE=simulated >etc/selinux/config
    fi
}

# What enables units, from the file that Ignition writes: `enable UNIT`, `enable TEMPLATE@.service INSTANCE…`, `disable UNIT`.
presets() {
    : >"$work/preset.log"
    [ -e etc/systemd/system-preset/20-ignition.preset ] || return 0
    while read -r verb unit instances; do
        case $verb in enable | disable) ;; *) continue ;; esac
        if [ -z "$instances" ]; then
            systemctl --root=/sysroot preset "$unit" >>"$work/preset.log" 2>&1 || :
        fi
        for instance in $instances; do
            systemctl --root=/sysroot preset "${unit%@.*}@$instance.${unit##*.}" >>"$work/preset.log" 2>&1 || :
        done
    done <etc/systemd/system-preset/20-ignition.preset
    # Ignition writes it in another order every time, which would be a difference between equal configs
    sort -o etc/systemd/system-preset/20-ignition.preset etc/systemd/system-preset/20-ignition.preset
}

# What the machine does after Ignition, because its /etc is sealed then: orlop.node.config.finish.
finish() {
    if [ -n "$(ls etc/sysusers.d 2>/dev/null)" ]; then
        systemd-sysusers --root=/sysroot >>"$work/finish.log" 2>&1 || :
    fi
    systemd-tmpfiles --root=/sysroot --create --boot --prefix=/etc >>"$work/finish.log" 2>&1 || :
}

case $1 in
fetch)
    stage fetch-offline || exit 0
    if [ -e $work/neednet ] && [ "${2:-}" = network ]; then
        stage fetch || exit 0
    fi
    ;;
files)
    cd /sysroot
    mkdir -p var
    # the same config gives the same /etc/shadow, whatever the day
    SOURCE_DATE_EPOCH=$(stat --format=%Y usr/lib/os-release)
    export SOURCE_DATE_EPOCH PATH="$work/programs:$PATH"
    mkdir -p "$work/programs"
    printf '#!/bin/sh\nexec cat >/dev/null\n' >"$work/programs/setfiles"
    chmod 0755 "$work/programs/setfiles"
    fresh
    finish
    pack before.tar
    fresh
    stage files || exit 0
    presets
    finish
    pack after.tar
    ;;
esac
