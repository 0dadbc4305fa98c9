"""An archive of a root is read as it was written."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from orlop.simulate.snapshot import KEPT_BYTES, STAND_IN, STAND_IN_TEXT, PathKind, file_text, read


def archive(path: Path, *members: tuple[str, bytes, dict[str, object]]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data, more in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_every_kind(tmp_path: Path) -> None:
    found = read(
        archive(
            tmp_path / "a.tar",
            ("./", b"", {"type": tarfile.DIRTYPE, "mode": 0o755}),
            ("./etc/", b"", {"type": tarfile.DIRTYPE, "mode": 0o750, "uid": 5, "gid": 6}),
            ("./etc/a", b"one\n", {"mode": 0o4640}),
            ("./etc/b", b"", {"type": tarfile.LNKTYPE, "linkname": "./etc/a"}),
            ("./etc/c", b"", {"type": tarfile.SYMTYPE, "linkname": "../x"}),
            ("./etc/fifo", b"", {"type": tarfile.FIFOTYPE}),
        )
    )
    assert list(found) == ["/", "/etc", "/etc/a", "/etc/b", "/etc/c", "/etc/fifo"]
    etc, a, b = found["/etc"], found["/etc/a"], found["/etc/b"]
    assert (etc.kind, etc.mode, etc.uid, etc.gid) == (PathKind.FOLDER, 0o750, 5, 6)
    assert (a.text, a.mode, a.size) == ("one\n", 0o4640, 4)
    assert (b.kind, b.same, b.text, b.digest) == (PathKind.FILE, "/etc/a", "one\n", a.digest)
    assert found["/etc/c"].target == "../x"
    assert found["/etc/fifo"].kind is PathKind.OTHER


@pytest.mark.parametrize("data", [b"\0", b"\xff", b"x" * (KEPT_BYTES + 1)])
def test_what_is_no_text(tmp_path: Path, data: bytes) -> None:
    (entry,) = read(archive(tmp_path / "a.tar", ("./a", data, {}))).values()
    assert entry.text is None
    assert len(entry.digest) == 64
    assert file_text({"/a": entry}, "/a") == ""


def test_working_material_is_left_out(tmp_path: Path) -> None:
    names = ["etc/passwd-", "etc/.pwd.lock", "etc/.ignition-result.json", "etc/passwd"]
    stand_in: tuple[str, bytes, dict[str, object]] = (STAND_IN[1:], STAND_IN_TEXT, {})
    found = read(archive(tmp_path / "a.tar", *((name, b"x", {}) for name in names), stand_in))
    assert list(found) == ["/etc/passwd"]


def test_a_policy_of_the_user_stays(tmp_path: Path) -> None:
    assert list(read(archive(tmp_path / "a.tar", (STAND_IN[1:], b"SELINUXTYPE=mine\n", {})))) == [STAND_IN]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = b"etc/\xff".decode("utf-8", "surrogateescape")
    assert list(read(archive(tmp_path / "a.tar", (name, b"", {})))) == ["/" + name]
