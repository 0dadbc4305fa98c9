from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput, Missing
from orlop.lab.images import LabImage, check, gpt_trouble, resolve
from orlop.workspace import Workspace

SECTORS = 100


def gpt(sectors: int = SECTORS) -> bytes:
    """The first two sectors of a disk with a partition table."""
    header = bytearray(struct.pack("<8sIIIIQQ", b"EFI PART", 0x10000, 92, 0, 0, 1, sectors - 1).ljust(92, b"\0"))
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    return bytes(512) + bytes(header).ljust(512, b"\0")


def disk(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gpt().ljust(SECTORS * 512, b"\0"))
    return path


def test_a_whole_disk_is_fine() -> None:
    assert gpt_trouble(gpt(), SECTORS * 512) == ""


@pytest.mark.parametrize(
    ("head", "size", "trouble"),
    [
        (b"", 0, "no GUID partition table"),
        (bytes(1024), 51200, "no GUID partition table"),
        (gpt()[:600], 600, "no GUID partition table"),
        (gpt(), SECTORS * 512 - 1, "it is cut off"),
        (gpt()[:560] + b"x" + gpt()[561:], 51200, "checksum"),
        (gpt()[:524] + b"\xff\xff" + gpt()[526:], 51200, "header"),
    ],
)
def test_a_damaged_disk_is_told(head: bytes, size: int, trouble: str) -> None:
    assert trouble in gpt_trouble(head, size)


@given(st.binary(max_size=600), st.integers(0, 2**50))
def test_garbage_is_trouble(tail: bytes, size: int) -> None:
    assert gpt_trouble(bytes(512) + tail, size)
    assert gpt_trouble(bytes(512) + b"EFI PART" + tail.ljust(504, b"\0"), size) or zlib.crc32(b"") == 0


def test_an_image_is_named_by_its_file_or_its_folder(tmp_path: Path) -> None:
    ws = Workspace(tmp_path, tmp_path / "state")
    raw = disk(tmp_path / "20261123.7" / "orlop_20261123.7.raw")
    assert resolve(ws, str(raw)) == resolve(ws, str(raw.parent)) == LabImage(raw, "20261123.7")
    assert resolve(ws, str(disk(tmp_path / "my.img"))) == LabImage(tmp_path / "my.img", "")


def test_an_image_that_is_not_there_or_not_whole(tmp_path: Path) -> None:
    ws = Workspace(tmp_path, tmp_path / "state")
    for given_name in (None, "20261123.7", str(tmp_path / "x.raw")):
        with pytest.raises(Missing):
            resolve(ws, given_name)
    with pytest.raises(BadInput, match="holds 0 disk images"):
        resolve(ws, str(tmp_path))
    empty = tmp_path / "empty.raw"
    empty.touch()
    with pytest.raises(BadInput, match="is not a whole disk image") as caught:
        check(empty)
    assert "orlop image build" in caught.value.hint
