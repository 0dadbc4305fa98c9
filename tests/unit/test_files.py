"""Whole or not there: with real files, a real full disk and processes that are really killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import Busy, NoSpace
from orlop.files import (
    MAKING,
    locked,
    made_beside,
    mounts_in,
    need_space,
    remove_tree,
    sweep,
    usual_umask,
    write_atomic,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def left_beside(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(MAKING))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "orlop-test", folder], check=False)
    if made.returncode != 0:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@given(
    old=st.none() | st.binary(max_size=300), new=st.binary(max_size=300), mode=st.sampled_from([0o600, 0o644, 0o755])
)
def test_write_atomic_replaces_content_and_mode_and_leaves_nothing(old: bytes | None, new: bytes, mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "sub" / "file"
        if old is not None:
            write_atomic(path, old)
        write_atomic(path, new, mode=mode)
        assert path.read_bytes() == new
        assert path.stat().st_mode & 0o777 == mode
        assert os.listdir(path.parent) == ["file"]


def test_write_atomic_writes_text_as_utf8(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", "‣ ü")
    assert (tmp_path / "f").read_bytes() == "‣ ü".encode()


def test_write_atomic_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "target").read_text() == "old"
    assert not (tmp_path / "link").is_symlink()


@as_root
def test_write_atomic_on_a_full_disk_keeps_the_old_and_says_so(small_disk: Path) -> None:
    path = small_disk / "file"
    write_atomic(path, b"old")
    with pytest.raises(NoSpace, match=r"no space left to write .*/file") as caught:
        write_atomic(path, b"x" * 200_000)
    assert "ORLOP_STATE" in caught.value.hint
    assert path.read_bytes() == b"old"
    assert left_beside(small_disk) == []


def test_write_atomic_onto_a_folder_fails_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "d", b"x")
    assert left_beside(tmp_path) == []


@pytest.mark.parametrize("before", [None, "old"])
def test_made_beside_takes_the_place(tmp_path: Path, before: str | None) -> None:
    place = tmp_path / "made"
    if before:
        place.mkdir()
        (place / before).touch()
    with made_beside(place) as work:
        (work / "new").touch()
        assert place.exists() == bool(before)
    assert os.listdir(place) == ["new"]
    assert left_beside(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_made_beside_keeps_the_old_when_the_block_raises(tmp_path: Path, error: type[BaseException]) -> None:
    place = tmp_path / "made"
    place.mkdir()
    (place / "old").touch()

    def half_way() -> None:
        with made_beside(place) as work:
            (work / "half").touch()
            raise error

    with pytest.raises(error):
        half_way()
    assert os.listdir(place) == ["old"]
    assert left_beside(tmp_path) == []


def test_made_beside_can_replace_a_file_or_a_dangling_link(tmp_path: Path) -> None:
    for place in (tmp_path / "file", tmp_path / "link"):
        if place.name == "file":
            place.write_text("in the way")
        else:
            place.symlink_to("nowhere")
        with made_beside(place) as work:
            (work / "new").touch()
        assert os.listdir(place) == ["new"]
    assert left_beside(tmp_path) == []


def test_what_a_killed_run_left_is_swept_by_the_next(tmp_path: Path) -> None:
    place = tmp_path / "made"
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from orlop.files import made_beside
        with made_beside(Path(sys.argv[1])) as work:
            (work / "half").write_text("x")
            print("ready", flush=True)
            time.sleep(60)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script, place], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.kill()
    child.communicate()
    assert not place.exists()
    assert len(left_beside(tmp_path)) == 1
    with made_beside(place) as work:
        (work / "whole").touch()
    assert os.listdir(place) == ["whole"]
    assert left_beside(tmp_path) == []


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_a_lock_ends_with_its_process(tmp_path: Path, sig: signal.Signals) -> None:
    lock = tmp_path / "lock"
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from orlop.files import locked
        with locked(Path(sys.argv[1]), "it"):
            print("ready", flush=True)
            time.sleep(60)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script, lock], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(Busy, match="it is in use by another orlop process"), locked(lock, "it"):
        pass
    child.send_signal(sig)
    child.communicate()
    with locked(lock, "it"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_lock_of_another_user_is_explained() -> None:
    with pytest.raises(Busy, match="it belongs to another user"), locked(Path("/usr/orlop/lock"), "it"):
        pass


def test_sweep_touches_only_its_own_leftovers(tmp_path: Path) -> None:
    for name in (f"{MAKING}a-1", f"{MAKING}ab-1", "a-1", "a"):
        (tmp_path / name).mkdir()
    sweep(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == [f"{MAKING}ab-1", "a", "a-1"]


def test_remove_tree_takes_anything(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    top = tmp_path / "top"
    (top / "locked" / "deep").mkdir(parents=True)
    (top / "locked" / "deep" / "file").touch()
    (top / "link").symlink_to(tmp_path / "kept")
    (top / "dangling").symlink_to("nowhere")
    os.mkfifo(top / "fifo")
    (top / "locked" / "deep").chmod(0o500)
    (top / "locked").chmod(0)
    remove_tree(top)
    assert not top.exists()
    assert (tmp_path / "kept" / "file").exists()


@as_root
def test_remove_tree_takes_what_attributes_hold(tmp_path: Path) -> None:
    """As a container machine may leave it in its /var."""
    top = tmp_path / "top"
    (top / "held").mkdir(parents=True)
    for name in ("file", "log"):
        (top / "held" / name).touch()
    for attribute, held in (("+i", "held/file"), ("+a", "held/log"), ("+i", "held")):
        if subprocess.run(["chattr", attribute, top / held], capture_output=True, check=False).returncode != 0:
            pytest.skip("no such attributes on this file system")
    remove_tree(top)
    assert not top.exists()


def test_remove_tree_takes_what_is_no_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "socket"))
    for path in [*tmp_path.iterdir(), tmp_path / "missing", tmp_path / "missing" / "below"]:
        remove_tree(path)
    assert os.listdir(tmp_path) == []


@as_root
def test_remove_tree_never_walks_into_a_mount(small_disk: Path) -> None:
    (small_disk / "precious").write_text("x")
    outer = small_disk.parent
    with pytest.raises(Busy, match="is mounted") as caught:
        remove_tree(outer)
    assert str(small_disk) in caught.value.hint
    assert (small_disk / "precious").read_text() == "x"


@as_root
def test_a_bind_mount_of_the_same_file_system_is_seen(tmp_path: Path) -> None:
    source, target = tmp_path / "cache", tmp_path / "tree with space\n" / "cache"
    source.mkdir()
    target.mkdir(parents=True)
    if subprocess.run(["mount", "--bind", source, target], check=False).returncode != 0:
        pytest.skip("this machine does not let us mount")
    try:
        assert mounts_in(target.parent) == [target]
        assert mounts_in(source) == []
    finally:
        subprocess.run(["umount", target], check=True)


def test_need_space(tmp_path: Path) -> None:
    need_space(tmp_path / "not" / "yet" / "there", 1, "it")
    with pytest.raises(NoSpace, match=r"making it needs 1000000000\.0 GB in .* free") as caught:
        need_space(tmp_path / "not" / "yet", 10**18, "making it")
    assert "ORLOP_STATE" in caught.value.hint


def test_what_is_made_has_the_usual_modes_whatever_the_callers_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with usual_umask():
            (tmp_path / "folder").mkdir()
            (tmp_path / "file").write_text("x")
        (tmp_path / "mine").write_text("x")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("folder", "file", "mine")] == [0o755, 0o644, 0o600]
