#!/bin/sh
# Make this machine ready: the few host packages Orlop needs, and a Python environment in .orlop/venv.
#
#     setup.sh run     what `orlop` needs
#     setup.sh dev     the same and the tools of `make test`
#
# Both steps do nothing when there is nothing to do. An environment lives in .orlop/venvs/KEY, where KEY is the hash of
# what it is made from; it is marked `whole` last, and only then .orlop/venv points to it. So an interrupted run leaves
# nothing that a later one could half use, and pip's cache makes the later one short.
set -eu
cd "$(dirname "$0")/.."
level=${1:-run}
PYTHON=${PYTHON:-python3}
state=${ORLOP_STATE:-.orlop}

die() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

check_platform() {
    [ "$(uname -s)/$(uname -m)" = Linux/x86_64 ] ||
        die "Orlop is built on Linux x86_64, this is $(uname -s) $(uname -m)" "use a Debian 12 or 13 machine"
    command -v "$PYTHON" >/dev/null ||
        die "there is no $PYTHON on this machine" "apt-get install python3, then run the same again"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$("$PYTHON" -V) is too old: Orlop needs Python 3.11 or newer" \
            "use Debian 12 or newer, or name another one: make PYTHON=/path/to/python3 …"
}

# The packages whose work nothing on this machine does yet. Asked by what they give, not by name, so a tool that came
# another way counts.
missing_packages() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    command -v bwrap >/dev/null || echo bubblewrap
    command -v mmdebstrap >/dev/null || echo mmdebstrap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    if [ "$(id -u)" != 0 ]; then
        command -v newuidmap >/dev/null || echo uidmap
    fi
}

install_packages() {
    wanted=$(missing_packages | tr '\n' ' ')
    [ -n "$wanted" ] || return 0
    command -v apt-get >/dev/null ||
        die "these are missing and there is no apt-get to install them: $wanted" \
            "install what gives the same on this system, or use a Debian 12 or 13 machine"
    sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            die "these packages are missing, and this is neither root nor is sudo installed: $wanted" \
                "as root: apt-get install $wanted"
        sudo=sudo
    fi
    echo "installing host packages: $wanted"
    # the names are words of their own
    # shellcheck disable=SC2086
    apt-get install --simulate $wanted >/dev/null 2>&1 || apt $sudo update # no package lists yet, or old ones
    # the names, and sudo or nothing, are words of their own
    # shellcheck disable=SC2086
    apt $sudo install $wanted || {
        apt $sudo update
        apt $sudo install $wanted
    } || die "apt-get could not install: $wanted" "mend what it says above, then run the same again"
    left=$(missing_packages | tr '\n' ' ')
    [ -z "$left" ] || die "installed, but still not there: $left" "is another $PYTHON first on PATH?"
}

apt() (
    sudo=
    [ "$1" != sudo ] || { sudo=sudo && shift; }
    verb=$1
    shift
    [ "$verb" != install ] || set -- --no-install-recommends "$@"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "$verb" "$@" </dev/null >"$log" 2>&1 ||
        { tail -n 15 "$log" >&2 && echo "apt-get $verb failed (all of it in $log)" >&2 && exit 1; }
)

home_of() { # LEVEL -> the folder of its environment
    key=$({ "$PYTHON" -c 'import sys; print(sys.version, sys.base_prefix)' && pwd -P && cat "requirements/$1.lock"; } |
        sha256sum | cut -c1-16)
    echo "venvs/$1-$key"
}

make_venv() {
    home=$(home_of dev) # where the tests can run, everything can
    [ "$level" = dev ] || [ -e "$state/$home/whole" ] || home=$(home_of run)
    full=$state/$home
    if [ ! -e "$full/whole" ]; then
        echo "making the Python environment ($level)"
        rm -rf "$full"
        "$PYTHON" -m venv "$full"
        pip --require-hashes --only-binary :all: -r "requirements/$level.lock"
        touch "$full/whole"
    fi
    if ! cmp -s pyproject.toml "$full/project"; then # the project itself: again when its metadata changes
        pip --no-build-isolation -e .
        cp pyproject.toml "$full/project"
    fi
    ln -sfn "$home" "$state/venv.new"
    mv -T "$state/venv.new" "$state/venv"
    # older ones go, but not under a command that still runs from one
    find "$state/venvs" -mindepth 1 -maxdepth 1 -mmin +1440 ! -path "$full" -exec rm -rf {} +
}

# Pages of the manual and completion, beside the command: man(1) and bash-completion look for them from PATH on.
make_manual() {
    share=$full/share
    key=$(cat orlop/cli/*.py orlop/cli/*/*.py | sha256sum | cut -c1-16)
    [ ! -e "$share/orlop-$key" ] || return 0
    "$full/bin/python" -m orlop.cli.manual "$share" ||
        die "the manual could not be made (see above)" "report it; orlop itself is ready: bin/orlop --help"
    mkdir -p "$share"
    rm -f "$share"/orlop-*
    touch "$share/orlop-$key"
    echo "orlop is bin/orlop; with its manual and completion: PATH=$(cd "$state" && pwd)/venv/bin:\$PATH"
}

pip() {
    "$full/bin/python" -m pip --quiet --disable-pip-version-check install --no-deps "$@" ||
        die "pip could not install the Python packages (see above)" \
            "check the network and pip's own settings, then run the same again; what was downloaded is kept"
}

check_platform
if ! mkdir -p "$state/logs" 2>/dev/null || [ ! -w "$state" ]; then
    die "$state cannot be written by $(id -un): another user made it" "run as that user, or: sudo rm -rf $state"
fi
log=$state/logs/apt.log
exec 9>"$state/setup.lock"
flock -n 9 || { echo "another setup is running: waiting for it" && flock 9; }
install_packages
make_venv
make_manual
