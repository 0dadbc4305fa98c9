"""scripts/setup.sh on machines that lack something: fake programs on PATH, everything else is real."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PLAIN = (
    *("sh", "dirname", "uname", "id", "mkdir", "flock", "tr", "tail", "cat", "sha256sum", "cut", "rm", "touch", "cmp"),
    *("cp", "ln", "mv", "find", "env", "readlink"),
)
GOOD_PYTHON = 'case "$*" in *version_info*|*ensurepip*) exit 0 ;; *sys.version*) echo "3.13 $0" ;; *) exit 9 ;; esac'


class Machine:
    """A PATH that holds the plain tools and what `has` adds; `says` runs the script there."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in PLAIN:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)

    def has(self, name: str, script: str = "exit 0") -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def setup(self, level: str = "run") -> subprocess.CompletedProcess[str]:
        env = {"PATH": str(self.bin), "ORLOP_STATE": str(self.state)}
        script = REPOSITORY / "scripts" / "setup.sh"
        return subprocess.run(["/bin/sh", script, level], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.has("python3", GOOD_PYTHON)
    made.has("id", "case $1 in -u) echo 0 ;; *) echo root ;; esac")
    made.has("bwrap")
    made.has("newuidmap")
    return made


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 1
    return done.stderr.splitlines()


def test_another_platform(machine: Machine) -> None:
    machine.has("uname", "case $1 in -s) echo Linux ;; -m) echo aarch64 ;; esac")
    assert lines(machine.setup())[0] == "error: Orlop is built on Linux x86_64, this is Linux aarch64"


def test_no_python(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    error, hint = lines(machine.setup())
    assert error == "error: there is no python3 on this machine"
    assert "apt-get install python3" in hint


def test_an_old_python(machine: Machine) -> None:
    machine.has("python3", "case $1 in -V) echo Python 3.9.2 ;; *) exit 1 ;; esac")
    error, hint = lines(machine.setup())
    assert error == "error: Python 3.9.2 is too old: Orlop needs Python 3.11 or newer"
    assert "Debian 12" in hint


def test_a_host_without_apt(machine: Machine) -> None:
    error, hint = lines(machine.setup())
    assert error.startswith("error: these are missing and there is no apt-get to install them: mmdebstrap")
    assert hint.startswith("hint: install what gives the same")


def test_a_user_without_sudo(machine: Machine) -> None:
    machine.has("apt-get")
    machine.has("id", "case $1 in -u) echo 1000 ;; *) echo dev ;; esac")
    error, hint = lines(machine.setup())
    assert "neither root nor is sudo installed: mmdebstrap" in error
    assert hint.startswith("hint: as root: apt-get install mmdebstrap")


def complete(machine: Machine) -> None:
    """All host packages are there, and Python makes environments whose pip does what `pip-fails` says."""
    machine.has("mmdebstrap")
    fake = (
        f'case "$*" in *version_info*|*ensurepip*) exit 0 ;; *sys.version*) echo 3.13 ;;\n'
        f'\'-m venv \'*) mkdir -p "$3/bin"; cp {machine.bin}/fake-venv-python "$3/bin/python" ;; esac'
    )
    machine.has("python3", fake)
    machine.has("fake-venv-python", f'echo "$@" >> {machine.state}/pip; [ ! -e {machine.state}/pip-fails ]')


needs_files = pytest.mark.skipif(
    not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists()
    or not Path("/etc/ssl/certs/ca-certificates.crt").exists(),
    reason="this machine has not been set up",
)


@needs_files
@pytest.mark.parametrize("user", ["0", "1000"])
def test_what_is_missing_is_installed_and_package_lists_are_fetched_first_if_need_be(
    machine: Machine, tmp_path: Path, user: str
) -> None:
    complete(machine)
    (machine.bin / "mmdebstrap").unlink()
    log, updated = tmp_path / "apt", tmp_path / "updated"
    machine.has("id", f"case $1 in -u) echo {user} ;; *) echo somebody ;; esac")
    machine.has("sudo", f'printf "sudo " >> {log}\nexec "$@"')
    install = f"[ -e {updated} ] && cp {machine.bin}/bwrap {machine.bin}/mmdebstrap"
    machine.has(
        "apt-get",
        f'echo "$*" >> {log}\n'
        f'case "$*" in *--simulate*) [ -e {updated} ] ;; *update) touch {updated} ;; *install*) {install} ;; esac',
    )
    assert machine.setup().returncode == 0
    simulate, update, installed = log.read_text().splitlines()
    assert simulate == "install --simulate mmdebstrap"
    assert update.endswith(" update")
    assert installed.endswith(" install --no-install-recommends mmdebstrap")
    assert [line.startswith("sudo ") for line in (simulate, update, installed)] == [False, user != "0", user != "0"]


def test_what_apt_says_is_shown(machine: Machine) -> None:
    machine.has("apt-get", "echo E: no such mirror; exit 100")
    done = machine.setup()
    assert "E: no such mirror" in done.stderr


@needs_files
def test_an_environment_that_was_not_finished_is_not_used_and_made_anew(machine: Machine) -> None:
    complete(machine)
    machine.state.mkdir()
    (machine.state / "pip-fails").touch()
    done = machine.setup()
    assert done.returncode == 1
    assert "hint: check the network and pip's own settings" in done.stderr
    assert not (machine.state / "venv").exists()
    (machine.state / "pip-fails").unlink()
    assert machine.setup().returncode == 0
    assert (machine.state / "venv" / "whole").exists()


@needs_files
def test_doing_it_again_does_nothing(machine: Machine) -> None:
    complete(machine)
    assert machine.setup().returncode == 0
    calls = (machine.state / "pip").read_text()
    done = machine.setup()
    assert (done.returncode, done.stdout) == (0, "")
    assert (machine.state / "pip").read_text() == calls
    assert "--require-hashes" in calls
    assert "--no-build-isolation" in calls


@needs_files
def test_the_environment_of_the_tests_also_serves_to_run(machine: Machine) -> None:
    complete(machine)
    assert machine.setup("run").returncode == 0
    assert os.readlink(machine.state / "venv").startswith("venvs/run-")
    assert machine.setup("dev").returncode == 0
    assert machine.setup("run").returncode == 0
    assert os.readlink(machine.state / "venv").startswith("venvs/dev-")


def test_the_locks_hold_hashes_and_name_no_host() -> None:
    for lock in (REPOSITORY / "requirements").glob("*.lock"):
        text = lock.read_text()
        assert "://" not in text
        assert "--index" not in text
        assert "--find-links" not in text
        for requirement in text.replace("\\\n", "").splitlines():
            assert "==" in requirement
            assert "--hash=sha256:" in requirement
