#!/bin/sh
# Write requirements/*.lock from pyproject.toml: every package pinned with its hashes, valid for Python 3.11 to 3.13 on
# Linux x86_64. Needs a package index; the locks name none.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
UV=0.13.9
home=.orlop/lock-uv-$UV
if [ ! -x "$home/bin/uv" ]; then
    rm -rf "$home"
    "$PYTHON" -m venv "$home"
    "$home/bin/pip" install --quiet "uv==$UV"
fi
lock() {
    out=$1
    shift
    "$home/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
        --no-emit-index-url --no-emit-find-links "$@" --output-file "$out" pyproject.toml
    # the platform is said once, above, and checked by setup.sh: not on every line
    sed -i "s/ ; implementation_name == 'cpython' and platform_machine == 'x86_64' and sys_platform == 'linux'//
            s/ ; implementation_name == 'cpython' and platform_machine == 'x86_64' and platform_python_implementation != 'PyPy' and sys_platform == 'linux'//
            s/ and sys_platform == 'linux' and platform_machine == 'x86_64'//" "$out"
    echo "$out: $(grep -c == "$out") packages"
}
lock requirements/run.lock --extra build "$@"
lock requirements/dev.lock --extra build --extra dev --constraints requirements/run.lock "$@"
lock requirements/mutation.lock --extra build --extra dev --extra mutation --constraints requirements/dev.lock "$@"
