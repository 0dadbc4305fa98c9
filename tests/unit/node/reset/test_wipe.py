"""Emptying a folder that stands for /var, interrupted wherever that is possible."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orlop.errors import BadInput, Missing
from orlop.model.reset.request import REQUEST, ResetOutcome, ResetRequest
from orlop.node.reset import ask as reset
from orlop.node.reset import wipe

KEEP = ("/var/lib/app/data", "/var/kept-file", "/var/log/not-there")


FOLDERS = (
    "lib/app/data/deep", "lib/app/other", "lib/containers/a/b/c", "lib/orlop/ssh", "log/journal", "lost+found/x",
)  # fmt: skip
FILES = (
    "lib/app/data/f", "lib/app/data/deep/f", "lib/app/other/f", "lib/containers/a/b/c/f", "kept-file", "x",
    "lib/orlop/machine-id", "lib/orlop/ssh/key", "log/journal/j", "lost+found/x/1", "odd\udcff\nname",
)  # fmt: skip


def fill(root: Path) -> None:
    """A /var with a bit of everything, and a request."""
    for name in FOLDERS:
        (root / "var" / name).mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (root / "var" / name).write_text(name.encode(errors="surrogateescape").decode(errors="replace"))
    os.link(root / "var/lib/app/data/f", root / "var/lib/app/data/second")
    (root / "var/lib/app/data/link").symlink_to("../other/f")
    (root / "var/lib/away").symlink_to("/etc")
    os.mkfifo(root / "var/fifo")
    (root / "var/lib/app/data/f").chmod(0o640)
    (root / REQUEST.lstrip("/")).write_text(ResetRequest.of(KEEP).text())


def tree(root: Path) -> list[tuple[str, int, bytes]]:
    found = []
    for folder, dirs, names in os.walk(root / "var"):
        for name in (*dirs, *names):
            path = Path(folder) / name
            info = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found.append((str(path.relative_to(root)), info.st_mode, content))
    return sorted(found)


LEFT = [
    "var/kept-file", "var/lib", "var/lib/app", "var/lib/app/data", "var/lib/app/data/deep", "var/lib/app/data/deep/f",
    "var/lib/app/data/f", "var/lib/app/data/link", "var/lib/app/data/second", "var/lib/orlop", "var/log",
    "var/lost+found",
]  # fmt: skip


def test_what_is_kept_stays_as_it_is_and_the_rest_goes(tmp_path: Path) -> None:
    fill(tmp_path)
    before = {name: rest for name, *rest in tree(tmp_path)}
    result = wipe.reset(tmp_path)
    after = {name: rest for name, *rest in tree(tmp_path)}
    assert sorted(after) == LEFT
    assert all(before[name] == rest for name, rest in after.items())
    assert (tmp_path / "var/lib/app/data/f").samefile(tmp_path / "var/lib/app/data/second")
    assert (result.outcome, result.kept, result.missing) == (ResetOutcome.DONE, (KEEP[1], KEEP[0]), (KEEP[2],))
    assert result.removed == len(before) - len(after) - 1, "the request is not counted"
    assert Path("/etc").exists()


# Ends the process at the nth change it makes to the disk: an audit hook sees each before it happens (sys.audit).
CUT = """
import os, sys
from pathlib import Path
from orlop.node.reset import wipe
left = int(sys.argv[2])
def hook(event, args):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(hook)
wipe.reset(Path(sys.argv[1]))
"""


def test_it_may_be_cut_at_any_change_and_then_begins_again(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    fill(whole)
    wipe.reset(whole)
    moment = 0
    while True:
        root = tmp_path / str(moment)
        fill(root)
        done = subprocess.run(
            [sys.executable, "-c", CUT, root, str(moment)], check=False, cwd=Path(__file__).parents[4]
        )
        if done.returncode == 0:
            break
        assert done.returncode == 9
        assert (root / REQUEST.lstrip("/")).exists(), "the request is the last to go"
        assert wipe.reset(root).outcome is ResetOutcome.DONE
        assert tree(root) == tree(whole), f"cut before change {moment}"
        moment += 1
    assert moment > 20
    assert tree(root) == tree(whole)


def test_no_depth_is_too_deep(tmp_path: Path) -> None:
    fill(tmp_path)
    here = os.open(tmp_path / "var", os.O_RDONLY)
    for _ in range(1500):  # longer than a path may be, deeper than Python recurses
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert wipe.reset(tmp_path).outcome is ResetOutcome.DONE
    assert [name for name, *_ in tree(tmp_path)] == LEFT


@pytest.mark.parametrize("text", ["{", '{"schema": 7, "keep": []}', '{"schema": 1, "keep": ["/etc"]}'])
def test_a_request_that_cannot_be_read_changes_nothing_and_is_gone(tmp_path: Path, text: str) -> None:
    fill(tmp_path)
    (tmp_path / REQUEST.lstrip("/")).write_text(text)
    before = tree(tmp_path)
    result = wipe.reset(tmp_path)
    assert result.outcome is ResetOutcome.REFUSED
    assert result.reason
    assert tree(tmp_path) == [entry for entry in before if entry[0] != REQUEST.lstrip("/")]


def test_a_path_over_a_link_is_refused_before_anything_goes(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "var/alias").symlink_to("lib/app")
    request = ResetRequest.of(["/var/alias/data"])
    with pytest.raises(BadInput, match="/var/alias is a link to lib/app"):
        wipe.refuse_links(tmp_path, request)
    (tmp_path / REQUEST.lstrip("/")).write_text(request.text())
    assert wipe.reset(tmp_path).outcome is ResetOutcome.REFUSED
    assert (tmp_path / "var/lib/app/data/f").exists()


def test_a_path_to_keep_must_be_there(tmp_path: Path) -> None:
    fill(tmp_path)
    reset.must_exist(tmp_path, ResetRequest.of(KEEP[:2]))
    with pytest.raises(Missing, match="there is no /var/log/not-there to keep"):
        reset.must_exist(tmp_path, ResetRequest.of(KEEP))


def test_the_firmware_is_asked_in_one_write_and_its_absence_is_said(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="keeps no variables"):
        reset.ask_firmware(tmp_path)
    (tmp_path / "BootOrder-x").touch()
    reset.ask_firmware(tmp_path)
    raw = (tmp_path / reset.FACTORY_RESET).read_bytes()
    assert raw == b"\7\0\0\0" + "yes\0".encode("utf-16-le")


def test_a_reset_needs_somebody_who_agrees() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orlop.node", "reset"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "error: a factory reset removes data, and nobody is here to agree to it"
        if os.geteuid() == 0
        else "error: a factory reset needs root"
    )
    assert not Path(REQUEST).exists()
