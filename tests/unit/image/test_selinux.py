"""Whether an image enforces, as os/selinux/mode says; the shell of a boot that does: labels, and a policy to load."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.image import selinux
from orlop.image.selinux import SELinuxMode
from orlop.workspace import Workspace

LIB = Path("os/mkosi.extra/usr/lib/orlop").resolve()
POLICY = struct.pack("<II8sI", 0xF97CFF8C, 8, b"SE Linux", 33) + bytes(100)


@pytest.mark.parametrize("text", ["enforcing", "# why\n\nenforcing # or off\n"])
def test_the_mode_is_one_word(tmp_path: Path, text: str) -> None:
    (tmp_path / "os/selinux").mkdir(parents=True)
    (tmp_path / "os/selinux/mode").write_text(text)
    assert selinux.mode(Workspace(tmp_path, tmp_path)) is SELinuxMode.ENFORCING


@pytest.mark.parametrize("text", ["", "permissive", "off enforcing", "off\noff"])
def test_another_mode_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "os/selinux").mkdir(parents=True)
    (tmp_path / "os/selinux/mode").write_text(text)
    with pytest.raises(BadInput, match="must say off or enforcing"):
        selinux.mode(Workspace(tmp_path, tmp_path))


def test_only_an_enforcing_image_tells_the_kernel() -> None:
    words = ["lsm=yama", "quiet"]
    assert selinux.arguments(words, SELinuxMode.OFF) == words
    assert selinux.arguments(words, SELinuxMode.ENFORCING) == ["lsm=yama,selinux", "quiet", "enforcing=1"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A new root whose image has a policy."""
    own = tmp_path / "usr/share/selinux/orlop"
    (own / "policy").mkdir(parents=True)
    (own / "policy/policy.33").write_bytes(POLICY)
    (own / "labels").write_text("first\n")
    factory = tmp_path / "usr/share/factory/etc"
    factory.mkdir(parents=True)
    (factory / "selinux").symlink_to("../usr/share/selinux")
    (tmp_path / "cmdline").write_text("quiet enforcing=1 ro\n")
    return tmp_path


def run(root: Path, name: str, *args: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    told = {
        "ORLOP_RELABEL": str(root / "orders"),
        "ORLOP_CONTEXT": str(root / "context"),
        "ORLOP_CMDLINE": str(root / "cmdline"),
        "ORLOP_ROOT": str(root),
    }
    return subprocess.run(
        ["sh", LIB / name, *args], env={**os.environ, **told}, input=given, capture_output=True, timeout=30, check=False
    )


def orders(root: Path) -> list[str]:
    return (root / "orders/orlop.relabel").read_text().splitlines()


def test_a_first_boot_has_all_of_var_labelled_and_the_next_one_what_the_initrd_wrote(root: Path) -> None:
    assert run(root, "assemble-root", str(root)).returncode == 0
    assert orders(root) == ["/", "/var/lib/orlop/machine-id", "/var"]
    assert run(root, "assemble-root", str(root)).returncode == 0
    assert orders(root) == ["/", "/var/lib/orlop/machine-id"]
    (root / "usr/share/selinux/orlop/labels").write_text("other\n")
    (root / "var/lib/orlop/identity").mkdir()
    assert run(root, "assemble-root", str(root)).returncode == 0
    assert orders(root) == ["/", "/var/lib/orlop/machine-id", "/var/lib/orlop/identity", "/var"]


def test_a_boot_without_selinux_orders_nothing_and_forgets_that_var_was_labelled(root: Path) -> None:
    run(root, "assemble-root", str(root))
    (root / "orders/orlop.relabel").unlink()
    (root / "cmdline").write_text("quiet notenforcing=1 enforcing=10\n")
    assert run(root, "assemble-root", str(root)).returncode == 0
    assert not (root / "orders/orlop.relabel").exists()
    assert not (root / "var/lib/orlop/labels").exists()


def test_the_policy_is_looked_at_before_it_is_enforced(root: Path) -> None:
    run(root, "assemble-root", str(root))
    assert run(root, "check-policy", str(root)).returncode == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an SELinux policy"),
        (POLICY[:10], "not an SELinux policy"),
        (b"x" + POLICY[1:], "not an SELinux policy"),
        (struct.pack("<II8sI", 0xF97CFF8C, 8, b"SE Linux", 34), "not an SELinux policy of version 33"),
        (None, "cannot be read"),
    ],
)
def test_a_policy_that_is_none_ends_the_boot_in_words(root: Path, content: bytes | None, words: str) -> None:
    run(root, "assemble-root", str(root))
    path = root / "usr/share/selinux/orlop/policy/policy.33"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = run(root, "check-policy", str(root))
    assert (done.returncode, words in done.stdout.decode()) == (1, True), done


def test_another_etc_selinux_ends_the_boot(root: Path) -> None:
    run(root, "assemble-root", str(root))
    (root / "etc/selinux").unlink()
    (root / "etc/selinux").symlink_to("/var/mine")
    done = run(root, "check-policy", str(root))
    assert (done.returncode, b"not the link of the image" in done.stdout) == (1, True)


def test_what_ignition_wrote_is_noted_for_process_1(root: Path) -> None:
    top = str(root)
    given = "".join(f"{top}{path}\0" for path in ("/etc/a b", "/var/x", "/var/two\nlines", "//opt/y")).encode()
    assert run(root, "ignition/bin/setfiles", "-vF0", "-r", top, "contexts", "-f", "-", given=given).returncode == 0
    assert (root / "orders/ignition.relabel").read_text().splitlines() == ["/etc/a b", "/var/x", "/opt/y"]
    run(root, "ignition/bin/setfiles", "-r", f"{top}/elsewhere", "contexts", "-f", "-", given=f"{top}/z\0".encode())
    assert "/z" not in (root / "orders/ignition.relabel").read_text().splitlines()


TIMER = (
    *("--property", "LogLevelMax=notice", "--setenv=PATH=/usr/bin", "--unit", "0a1b-23cd", "--on-unit-inactive=30s"),
    *("--timer-property=AccuracySec=1s", "/usr/bin/podman", "healthcheck", "run", "0a1b"),
)


@pytest.mark.parametrize(
    "words",
    [
        ("dd", "if=/dev/zero"),
        ("-p", "SELinuxContext=system_u:system_r:update_t:s0", *TIMER),
        ("--property", "SELinuxContext=x", *TIMER[2:]),
        (*TIMER[:-4], "/usr/bin/podman", "run", "x", "y"),
        (*TIMER, "more"),
        (*TIMER[:-1], "$(id)"),
        ("--unit", "orlop-update", *TIMER[5:]),
        (),
    ],
)
def test_podman_starts_no_other_timers(root: Path, words: tuple[str, ...]) -> None:
    (root / "context").write_bytes(b"system_u:system_r:timer_t:s0\0")
    done = run(root, "podman/systemd-run", *words)
    assert (done.returncode, b"health checks only" in done.stderr) == (1, True), done


@pytest.mark.parametrize("unit", ["0a1b-23cd", "0a1b-startup-23cd"])
def test_podman_starts_timers_of_health_checks(root: Path, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORLOP_SYSTEMD_RUN", "/bin/echo")
    (root / "context").write_bytes(b"system_u:system_r:timer_t:s0\0")
    done = run(root, "podman/systemd-run", *(unit if word == "0a1b-23cd" else word for word in TIMER))
    assert done.stdout.decode().split() == [unit if word == "0a1b-23cd" else word for word in TIMER] or (
        done.stdout.decode().split()[2] == "--setenv=PATH=/usr/sbin:/usr/bin"
    )
    assert done.returncode == 0


@pytest.mark.parametrize("context", [None, b"system_u:system_r:system_t:s0\0"])
def test_others_have_systemd_run_as_it_is(root: Path, context: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORLOP_SYSTEMD_RUN", "/bin/echo")
    if context:
        (root / "context").write_bytes(context)
    done = run(root, "podman/systemd-run", "--pty", "a b")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"--pty a b\n", b"")
