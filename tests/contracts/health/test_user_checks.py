"""The shell that runs the user's health checks, with a real shell and a real timeout(1): what becomes of a check that
is well, fails, hangs, leaves children behind or says odd things; and settings files of every kind, none evaluated.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

OS = Path(__file__).parents[3] / "os" / "mkosi.extra" / "usr" / "lib" / "orlop"


def sh(script: str, *args: str | Path, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    words = ["sh", "-uc", f". {OS}/health-user; {script}", "sh", *map(str, args)]
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, errors="replace")


@pytest.fixture
def check(tmp_path: Path) -> Path:
    return tmp_path / "10-web"


def verdict(check: Path, text: str | bytes, seconds: int = 20) -> tuple[int, str]:
    check.write_bytes(text.encode() if isinstance(text, str) else text)
    check.chmod(0o755)
    ran = sh('user_check "$1" "$2"', check, str(seconds))
    assert ran.stderr == ""
    return ran.returncode, ran.stdout.removesuffix("\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/sh\necho all is well\n", ""),
        ("#!/bin/sh\nexit 3\n", "10-web failed (3)"),
        ("#!/bin/sh\necho first\necho no answer on :80 >&2\necho\nexit 1\n", "10-web failed (1): no answer on :80"),
        ("#!/bin/sh\nprintf 'a\\033[31mb\\n'; exit 1\n", "10-web failed (1): a[31mb"),
        (
            "#!/bin/sh\ni=0; while [ $i -lt 300 ]; do printf x; i=$((i+1)); done; exit 1\n",
            f"10-web failed (1): {'x' * 200}",
        ),
        ("#!/bin/sh\nkill -9 $$\n", "10-web failed (137): Killed"),
        ("#!/bin/sh\nexit 124\n", "10-web failed (124)"),
        ("#!/bin/sh\nread -r a && exit 1; exit 0\n", ""),
    ],
)
def test_what_a_check_says_and_returns(check: Path, text: str, said: str) -> None:
    assert verdict(check, text) == (1 if said else 0, said)


def test_a_check_whose_interpreter_is_not_there(check: Path) -> None:
    status, said = verdict(check, "#!/nowhere/sh\n")
    assert status == 1
    assert said.startswith("10-web failed (127): ")


@pytest.mark.parametrize("trap", ["", "trap '' TERM\n"])
def test_a_check_that_hangs_is_killed_with_its_children(check: Path, tmp_path: Path, trap: str) -> None:
    began = time.monotonic()
    text = (
        f"#!/bin/sh\n{trap}(while :; do echo x >> {tmp_path}/alive; sleep 0.1; done) &\nwhile :; do sleep 0.1; done\n"
    )
    assert verdict(check, text, seconds=1) == (1, "10-web did not answer within 1 s")
    assert time.monotonic() - began < 10
    written = (tmp_path / "alive").stat().st_size
    time.sleep(0.5)
    assert (tmp_path / "alive").stat().st_size == written


def test_what_cannot_be_run_is_bad(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("#!/bin/sh\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("text", "folder", "link"):
        ran = sh('user_check "$1" 5', tmp_path / name)
        assert (ran.returncode, ran.stdout) == (1, f"{name} cannot be run: it is not an executable file\n")


def settings(file: Path) -> list[str]:
    ran = sh('settings "$1"; printf "%s\\n" "$timeout" "$soak" "$wait" "$settings_problem"', file)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split("\n")[:4]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["60", "0", "900", ""]),
        ("# a comment\n\nTIMEOUT=5\nSOAK=300\nWAIT=0\n", ["5", "300", "0", ""]),
        ("SOAK=1", ["60", "1", "900", ""]),
    ],
)
def test_settings(tmp_path: Path, text: str, found: list[str]) -> None:
    (tmp_path / "health.conf").write_text(text)
    assert settings(tmp_path / "health.conf") == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("TIMEOUT=60s\n", "line 1: TIMEOUT needs a whole number of seconds"),
        ("TIMEOUT=$(touch OWNED)\n", "line 1: TIMEOUT needs a whole number of seconds"),
        ("SOAK=1;touch OWNED\n", "line 1: SOAK needs a whole number of seconds"),
        ("SOAK=a[$(touch OWNED)]\n", "line 1: SOAK needs a whole number of seconds"),
        ("touch OWNED\n", "line 1: only TIMEOUT=SECONDS, SOAK=SECONDS and WAIT=SECONDS are known"),
        ("PATH=/tmp\n", "line 1: only TIMEOUT=SECONDS, SOAK=SECONDS and WAIT=SECONDS are known"),
        ("SOAK=-1\n", "line 1: SOAK needs a whole number of seconds"),
        ("SOAK=\n", "line 1: SOAK needs a whole number of seconds"),
        ("SOAK=010\n", "line 1: SOAK needs a whole number of seconds"),
        ("SOAK=99999999999999999999\n", "line 1: SOAK needs a whole number of seconds"),
        ("SOAK=86401\n", "line 1: SOAK must be 0 to 86400"),
        ("WAIT=86401\n", "line 1: WAIT must be 0 to 86400"),
        ("SOAK=1\nTIMEOUT=0\n", "line 2: TIMEOUT must be 1 to 600"),
        ("SOAK=1\nSOAK=2\n", "line 2: SOAK is given twice"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "health.conf"
    file.write_text(text)
    assert settings(file) == ["60", "0", "900", f"{file}, {why}"]
    assert not (tmp_path / "OWNED").exists()


def test_settings_that_are_no_file(tmp_path: Path) -> None:
    assert settings(tmp_path / "none") == ["60", "0", "900", ""]
    assert settings(tmp_path) == ["60", "0", "900", f"{tmp_path} cannot be read"]


def keep(folder: Path, version: str, reason: str, rest: bytes) -> int:
    words: list[str | Path] = ["sh", OS / "failure", version, reason, "-"]
    return subprocess.run(
        words, input=rest, env={"PATH": "/usr/bin:/bin", "ORLOP_FAILURES": str(folder)}, check=False
    ).returncode


def test_a_failure_is_kept_short_whole_and_readable(tmp_path: Path) -> None:
    folder = tmp_path / "failures"
    assert keep(folder, "20261125.1", "bad verdict: x", b"old\n" + b"y" * 40_000 + b"\nthe end\n") == 0
    kept = folder / "20261125.1.txt"
    assert kept.read_text().startswith("bad verdict: x\n\ny")
    assert kept.read_text().endswith("y\nthe end\n")
    assert kept.stat().st_size <= 16384
    assert kept.stat().st_mode & 0o777 == 0o644
    assert keep(folder, "20261125.1", "bad verdict: later", b"") == 0
    assert kept.read_text() == "bad verdict: later\n\n"


def test_failures_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(14):
        assert keep(tmp_path, f"20261125.{number}", "r", b"") == 0
        time.sleep(0.02)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"20261125.{n}.txt" for n in range(4, 14))


def test_a_name_that_is_no_version_is_refused(tmp_path: Path) -> None:
    assert keep(tmp_path / "failures", "../x", "r", b"") == 1
    assert list(tmp_path.iterdir()) == []


def panics(pstore: Path, run: Path, folder: Path) -> None:
    paths = {"ORLOP_PSTORE": pstore, "ORLOP_RUN": run, "ORLOP_FAILURES": folder}
    env = {"PATH": "/usr/bin:/bin", **{name: str(path) for name, path in paths.items()}}
    ran = subprocess.run(["sh", OS / "failures", "panics"], env=env, capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"", b"")


def test_panics_are_put_together_and_put_down_to_the_version_that_said_so(tmp_path: Path) -> None:
    pstore, run, folder = tmp_path / "pstore", tmp_path / "run", tmp_path / "failures"
    pstore.mkdir()
    run.mkdir()
    (run / "last-version").write_text("20261125.2\n")
    for name, text in {
        "17000000000100": "<0>[ 9.1] Kernel panic - not syncing: first of version 1\n",  # an oops, then the panic
        "17000000000200": "<5>[ 1.0] orlop-boot: version=20261125.1\n<4>[ 1.1] early\n",
        "17000050000100": "<0>[ 9.2] Kernel panic - not syncing: second of version 1\n",
        "17000050010200": "<5>[ 1.0] orlop-boot: version=20261125.1\n",  # the clock went on while it was written
        "17000090000100": "<0>[ 99.9] Kernel panic - not syncing: much later\n",
    }.items():
        (pstore / f"dmesg-efi_pstore-{name}1").write_text("Panic#1\n" + text)
    panics(pstore, run, folder)
    first = (folder / "20261125.1.txt").read_text()
    assert first.startswith("Kernel panic - not syncing: second of version 1\n\nPanic#1\n<5>")
    assert first.rstrip().endswith("Kernel panic - not syncing: second of version 1")
    assert (folder / "20261125.2.txt").read_text().startswith("Kernel panic - not syncing: much later\n")
    assert list(pstore.iterdir()) == []


def test_without_a_panic_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "pstore").mkdir()
    panics(tmp_path / "pstore", tmp_path, tmp_path / "failures")
    assert not (tmp_path / "failures").exists()
