#!/bin/sh
# Runs in the sandbox of orlop.simulate: /work is the run's folder, /sysroot an empty root with the image's /usr.
#   inside.sh fetch [network]   the config, with all that it merges, to cache.json
#   inside.sh files             cache.json onto the root; before.tar and after.tar are the root, generated.tar the units
#                               that are made at boot, verify.log what systemd says of all units
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
# As orlop.node.config.finish does it, in one run of systemctl; `absent` names those that are to be enabled and are nowhere.
presets() {
    file=etc/systemd/system-preset/20-ignition.preset
    [ -e $file ] || return 0
    # Ignition writes it in another order every time, which would be a difference between equal configs
    sort -o $file $file
    set -f --
    while read -r verb unit instances; do
        case $verb in enable) ;; disable) instances='' ;; *) continue ;; esac
        names=$unit
        if [ -n "$instances" ]; then
            names=''
            for instance in $instances; do names="$names ${unit%@*}@$instance${unit##*@}"; done
        fi
        for name in $names; do
            if is_there "$name"; then
                set -- "$@" "$name"
            elif [ "$verb" = enable ]; then
                echo "$name" >>"$work/absent"
            fi
        done
    done <$file
    set +f
    [ $# -gt 0 ] || return 0
    judged units systemctl --root=/sysroot --no-reload preset "$@"
}

is_there() {
    for folder in etc/systemd/system usr/lib/systemd/system usr/local/lib/systemd/system; do
        if [ -e "$folder/$1" ]; then return 0; fi
        case $1 in
        *@*.*) if [ -e "$folder/${1%%@*}@.${1##*.}" ]; then return 0; fi ;;
        esac
    done
    return 1
}

# judged STAGE COMMAND…: what it says and how it ends, as a stage of Ignition.
judged() {
    called=$1 rc=0
    shift
    "$@" >"$work/$called.log" 2>&1 || rc=$?
    echo $rc >"$work/$called.rc"
}

# What the machine does after Ignition, because its /etc is sealed then: orlop.node.config.finish.
finish() {
    if [ -n "$(ls etc/sysusers.d 2>/dev/null)" ]; then
        judged sysusers systemd-sysusers --root=/sysroot
    fi
    judged tmpfiles systemd-tmpfiles --root=/sysroot --create --boot --prefix=/etc
}

# The units that the image's own Quadlet makes of files at boot.
generate() {
    mkdir -p run/systemd/generator run/systemd/generator.early run/systemd/generator.late
    [ -d etc/containers/systemd ] || return 0
    chroot . /usr/lib/systemd/system-generators/podman-system-generator -no-kmsg-log /run/systemd/generator \
        /run/systemd/generator.early /run/systemd/generator.late >"$work/quadlet.log" 2>&1 || :
}

# What systemd says of the config's units before it would start them: those that it wrote, changed or enabled.
verify() {
    # systemd-analyze reads no folder of generators, but this one
    cp -a run/systemd/generator run/systemd/system
    set --
    for path in etc/systemd/system/*.* etc/systemd/system/*.wants/*@?*.* run/systemd/generator/*.service; do
        name=${path##*/}
        case $name in
        *@.*) continue ;;
        *.service.d | *.socket.d | *.timer.d | *.path.d | *.mount.d | *.target.d) name=${name%.d} ;;
        *@?*.*) ;;
        *) if [ ! -f "$path" ] || [ -L "$path" ]; then continue; fi ;;
        esac
        case $name in *@.* | *.wants | *.requires) ;; *) set -- "$@" "$name" ;; esac
    done
    [ $# -gt 0 ] || return 0
    systemd-analyze --root=/sysroot --man=no --generators=no verify "$@" >"$work/verify.log" 2>&1 || :
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
    rm -f "$work/sysusers.rc" "$work/tmpfiles.rc" # of the image alone
    fresh
    stage files || exit 0
    presets
    finish
    pack after.tar
    generate
    tar --create --file="$work/generated.tar" --format=posix --numeric-owner --sort=name ./run/systemd/generator
    verify
    ;;
esac
