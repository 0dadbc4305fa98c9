"""What the health check makes of units and networks: a real shell, and fake programs of systemd."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

OS = Path(__file__).parents[3] / "os" / "mkosi.extra" / "usr" / "lib" / "orlop"


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("unit", "shown", "kind"),
    [
        ("sshd.service", "FragmentPath=/usr/lib/systemd/system/sshd.service", "system"),
        ("gone.service", "FragmentPath=", "system"),
        ("run-u7.service", "Transient=yes\nFragmentPath=/run/systemd/transient/run-u7.service", ""),
        ("systemd-networkd-wait-online.service", "FragmentPath=/usr/lib/systemd/system/x", "network"),
        ("systemd-networkd-wait-online@eth0.service", "FragmentPath=/usr/lib/systemd/system/x", "network"),
        ("systemd-fsck@dev-vdb.service", "FragmentPath=/usr/lib/systemd/system/x", "data"),
        ("srv.mount", "FragmentPath=/etc/systemd/system/srv.mount", "data"),
        ("boot.mount", "FragmentPath=/usr/lib/systemd/system/boot.mount", "system"),
        ("web.service", "FragmentPath=/etc/systemd/system/web.service\nExecMainStatus=125", "workload"),
        (
            "web.service",
            "SourcePath=/etc/containers/systemd/web.container\n"
            "FragmentPath=/run/systemd/generator/web.service\nExecMainStatus=125",
            "image",
        ),
        (
            "web.service",
            "SourcePath=/etc/containers/systemd/web.container\n"
            "FragmentPath=/run/systemd/generator/web.service\nExecMainStatus=1",
            "workload",
        ),
    ],
)
def test_what_a_failed_unit_is_about(tmp_path: Path, unit: str, shown: str, kind: str) -> None:
    program(tmp_path, "systemctl", f"cat <<'X'\n{shown}\nX")
    ran = subprocess.run(
        ["sh", "-uc", f". {OS}/health-kinds; unit_kind {unit}"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == kind


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        ({}, "--any"),
        ({"10-a.network": "[Match]\nName=eth0\n"}, "--any"),
        ({"10-a.network": "[Link]\nRequiredForOnline=no\n"}, "--any"),
        ({"10-a.network": "[Link]\nRequiredForOnline=yes\n"}, "all"),
        ({"10-a.network": "[Link]\nRequiredForOnline = routable:routable\n"}, "all"),
        ({"10-a.network": "[Link]\nRequiredFamilyForOnline=ipv6\n"}, "all"),
        ({"10-a.network": "[Link]\n#RequiredForOnline=yes\n"}, "--any"),
        ({"10-a.network.d/x.conf": "[Link]\nRequiredForOnline=yes\n"}, "all"),
        ({"10-a.netdev": "[Link]\nRequiredForOnline=yes\n"}, "--any"),
    ],
)
def test_which_links_are_waited_for(tmp_path: Path, files: dict[str, str], asked: str) -> None:
    etc, programs = tmp_path / "etc", tmp_path / "bin"
    programs.mkdir()
    for name, text in files.items():
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(text)
    program(programs, "wait", f"echo $* > {tmp_path}/asked")
    program(programs, "networkctl", "echo '1 lo loopback carrier unmanaged'; echo '2 eth0 ether routable configured'")
    ran = waiting(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "asked").read_text().strip() == ("--any " if asked == "--any" else "") + "--timeout=120"


def test_a_machine_that_was_well_once_waits_less(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "wait", f"echo $* > {tmp_path}/asked; exit 1")
    (tmp_path / "once-good").touch()
    assert waiting(tmp_path).returncode == 1
    assert (tmp_path / "asked").read_text() == "--any --timeout=30\n"


def waiting(top: Path) -> subprocess.CompletedProcess[str]:
    places = {"ORLOP_WAIT_ONLINE": str(top / "bin/wait"), "ORLOP_NETWORK": str(top / "etc")}
    places["ORLOP_ONCE_GOOD"] = str(top / "once-good")
    path = {"PATH": f"{top / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", OS / "wait-online"], env=places | path, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_port_that_is_enslaved_has_no_address_yet(tmp_path: Path) -> None:
    """systemd's program is content with it; the bond gets its address a little later."""
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "wait", "exit 0")
    program(
        tmp_path / "bin",
        "networkctl",
        "echo '2 eth0 ether enslaved configured'\n"
        f"if [ -e {tmp_path}/asked ]; then echo '3 bond0 bond routable configured'; "
        "else echo '3 bond0 bond degraded-carrier configuring'; fi\n"
        f"touch {tmp_path}/asked",
    )
    assert waiting(tmp_path).returncode == 0
    assert (tmp_path / "asked").exists()


def test_no_link_in_time_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "wait", "exit 1")
    assert waiting(tmp_path).returncode == 1
