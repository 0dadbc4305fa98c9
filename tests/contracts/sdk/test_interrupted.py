"""An SDK build stopped in its middle, with the real mmdebstrap: nothing half-made, nothing mounted, nothing lost.

It makes a tree of its own, small and in another place; the shared one is not touched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from orlop.files import mounts_in
from orlop.sdk.tree import is_current

pytestmark = [pytest.mark.network, pytest.mark.slow]

MAKE = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from orlop.sdk.tree import ensure
    from orlop.steps import Steps
    from orlop.workspace import Workspace
    ensure(Workspace(Path.cwd(), Path(sys.argv[1])), Steps(), Path(sys.argv[2]))
    """
)


def start(state: Path, listing: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", MAKE, state, listing], stderr=subprocess.PIPE)


def cached(state: Path) -> dict[str, int]:
    return {p.name: p.stat().st_size for p in (state / "cache" / "sdk-packages").glob("*.deb")}


def making(state: Path) -> list[Path]:
    return list(state.glob(".making-*"))


def belongs_to(state: Path) -> list[str]:
    """The command lines of all processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(state) in line and path.parent.name != str(os.getpid()):
            found.append(line)
    return found


def wait_for_the_middle(child: subprocess.Popen[bytes], state: Path) -> None:
    """Until packages are being unpacked into the tree, with the cache mounted in it."""
    log = state / "logs" / "sdk.log"
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if log.exists() and "extracting archives" in log.read_text() and cached(state):
            return
        if child.poll() is not None:
            assert child.stderr is not None
            pytest.fail(f"it ended too early: {child.stderr.read().decode()}")
        time.sleep(0.05)
    pytest.fail("mmdebstrap did not begin to extract within 120 s")


def wait_until_none(state: Path) -> None:
    end = time.monotonic() + 10
    while belongs_to(state) and time.monotonic() < end:
        time.sleep(0.05)
    assert belongs_to(state) == []


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("listing") / "packages.list"
    path.write_text("zstd  # one small package is enough\n")
    return path


def test_interrupted_then_killed_then_whole(tmp_path: Path, listing: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()

    child = start(state, listing)
    wait_for_the_middle(child, state)
    assert mounts_in(state) == [], "the mounts must not be seen outside of the build"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert b"KeyboardInterrupt" in err
    wait_until_none(state)
    assert making(state) == []
    assert not (state / "sdk").exists()
    after_interrupt = cached(state)
    assert after_interrupt

    (state / "logs" / "sdk.log").unlink()
    child = start(state, listing)
    wait_for_the_middle(child, state)
    child.kill()
    child.communicate()
    wait_until_none(state)  # mmdebstrap and all of its children died with it
    assert mounts_in(state) == []
    assert making(state), "SIGKILL leaves the half-made tree…"
    assert not (state / "sdk").exists()
    before = cached(state)
    assert after_interrupt.items() <= before.items()

    child = start(state, listing)
    _, err = child.communicate(timeout=300)
    assert child.returncode == 0, err.decode()
    assert making(state) == [], "…and the next run sweeps it"
    assert is_current(state / "sdk", listing)
    assert before.items() <= cached(state).items(), "the cache was not walked into"
    assert mounts_in(state) == []
    done = subprocess.run(
        ["bwrap", "--ro-bind", state / "sdk" / "usr", "/usr", "--symlink", "usr/lib64", "/lib64", "zstd", "--version"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert b"Zstandard" in done.stdout
    foreign = [p for p in (state / "sdk").rglob("*") if p.lstat().st_uid != os.geteuid()]
    setuid = [p for p in (state / "sdk" / "usr").rglob("*") if p.lstat().st_mode & 0o4000]
    assert (foreign, setuid) == ([], []), "it belongs to its maker and runs nothing as another"
