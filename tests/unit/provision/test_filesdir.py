"""The real files directory: what is in it is read, what is outside is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orlop.provision.filesdir import FilesDir
from orlop.provision.local import LocalError, NodeKind, NoFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    (inside / "tree" / "sub").mkdir(parents=True)
    (inside / "a.txt").write_text("a")
    (inside / "tree" / "b").write_text("b")
    (inside / "tree" / "sub" / "run").write_text("c")
    (inside / "tree" / "sub" / "run").chmod(0o755)
    (inside / "tree" / "away").symlink_to("/etc/passwd")
    (inside / "tree" / "folder").symlink_to("sub")
    (inside / "near").symlink_to("a.txt")
    (inside / "far").symlink_to("../secret")
    (inside / "up").symlink_to("..")
    (inside / "loop").symlink_to("loop")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "inside-too").mkdir()
    (tmp_path / "inside-too" / "x").write_text("secret")
    os.mkfifo(inside / "fifo")
    return inside


@pytest.mark.parametrize("path", ["a.txt", "/a.txt", "./a.txt", "tree/../a.txt", "near", "//a.txt"])
def test_inside(folder: Path, path: str) -> None:
    assert FilesDir(folder).read(path) == b"a"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../secret", "'../secret' leads out of the files directory"),
        ("tree/../../secret", "'tree/../../secret' leads out of the files directory"),
        ("../inside-too/x", "'../inside-too/x' leads out of the files directory"),
        ("..", "'..' leads out of the files directory"),
        ("far", "'far' leads out of the files directory through a symbolic link"),
        ("up/secret", "'up/secret' leads out of the files directory through a symbolic link"),
        ("tree/away", "'tree/away' leads out of the files directory through a symbolic link"),
        ("/etc/passwd", "'/etc/passwd' cannot be read: there is no such file"),
        ("none", "'none' cannot be read: there is no such file"),
        ("a.txt/x", "'a.txt/x' cannot be read: Not a directory"),
        ("tree", "'tree' cannot be read: Is a directory"),
        ("", "'' cannot be read: Is a directory"),
        ("loop", "'loop' cannot be read: Too many levels of symbolic links"),
        ("fifo", "'fifo' is not a regular file"),
        ("a\0b", "'a\\x00b' cannot be read: it is not a valid file name"),
        ("x" * 300, f"{'x' * 300!r} cannot be read: File name too long"),
    ],
)
def test_refused(folder: Path, path: str, message: str) -> None:
    with pytest.raises(LocalError) as e:
        FilesDir(folder).read(path)
    assert e.value.message == message


def test_walk(folder: Path) -> None:
    found = [(n.path, n.kind, n.data, n.executable, n.target) for n in FilesDir(folder).walk("tree")]
    assert found == [
        ("", NodeKind.FOLDER, b"", False, ""),
        ("away", NodeKind.LINK, b"", False, "/etc/passwd"),
        ("b", NodeKind.FILE, b"b", False, ""),
        ("folder", NodeKind.LINK, b"", False, "sub"),
        ("sub", NodeKind.FOLDER, b"", False, ""),
        ("sub/run", NodeKind.FILE, b"c", True, ""),
    ]


def test_walk_says_what_is_no_file(folder: Path) -> None:
    assert ("fifo", NodeKind.OTHER) in [(n.path, n.kind) for n in FilesDir(folder).walk(".")]


@pytest.mark.parametrize("path", ["a.txt", "none", "../inside-too", "up"])
def test_walk_refused(folder: Path, path: str) -> None:
    with pytest.raises(LocalError):
        list(FilesDir(folder).walk(path))


def test_names_that_are_not_utf8(folder: Path) -> None:
    (folder / "odd").mkdir()
    Path(os.fsdecode(os.fsencode(folder / "odd") + b"/\xff")).write_text("x")
    with pytest.raises(LocalError, match="is not UTF-8"):
        list(FilesDir(folder).walk("odd"))


def test_deep_folders(folder: Path) -> None:
    """Deeper than Python's own stack."""
    here = os.open(folder / "tree" / "sub", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found = list(FilesDir(folder).walk("tree"))
    assert len([n for n in found if n.kind is not NodeKind.FOLDER]) == 4
    assert len([n for n in found if n.kind is NodeKind.FOLDER]) == 302


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="is not a folder"):
        FilesDir(tmp_path / "none")


def test_none_given() -> None:
    with pytest.raises(LocalError, match="none was given"):
        NoFiles().read("x")
    with pytest.raises(LocalError, match="none was given"):
        NoFiles().walk("x")
