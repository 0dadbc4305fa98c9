from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.lab.saved import keep
from orlop.lab.saved.keep import CopyWay
from orlop.machines.paths import MachinePaths


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("disk.qcow2", CopyWay.COPY),
        ("data2.qcow2", CopyWay.COPY),
        ("disk.0.qcow2", CopyWay.LINK),
        ("data1.12.qcow2", CopyWay.LINK),
        ("vars.fd", CopyWay.COPY),
        ("console.log", CopyWay.COPY),
        ("config.ign", CopyWay.LINK),
        ("tmpfiles.extra", CopyWay.LINK),
        ("qemu.pid", None),
        ("qemu.log", None),
        ("memory", None),
        ("other.qcow2", None),
    ],
)
def test_each_file_goes_its_way(name: str, how: CopyWay | None) -> None:
    assert keep.node_file(name) is how


def test_what_is_written_in_place_is_copied_and_all_else_linked(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    for name in ("base.raw", "known_hosts"):
        (here / name).write_text(name)
    keep.put([(here / name, how) for name, how in keep.LAB_FILES.items()], there)
    assert sorted(path.name for path in there.iterdir()) == ["base.raw", "known_hosts"]
    assert (there / "base.raw").samefile(here / "base.raw")
    assert not (there / "known_hosts").samefile(here / "known_hosts")
    assert (there / "known_hosts").read_text() == "known_hosts"


def test_holes_stay_holes(tmp_path: Path) -> None:
    file, folder = tmp_path / "disk.qcow2", tmp_path / "there"
    folder.mkdir()
    with file.open("wb") as f:
        f.truncate(64 << 20)
        f.seek(32 << 20)
        f.write(b"x")
    keep.copy([file], folder)
    assert (folder / file.name).stat().st_size == 64 << 20
    assert (folder / file.name).stat().st_blocks * 512 < 1 << 20


def test_a_disk_becomes_the_next_layer(tmp_path: Path) -> None:
    at = MachinePaths(tmp_path, tmp_path, tmp_path, tmp_path)
    for name in ("disk.qcow2", "disk.0.qcow2", "disk.1.qcow2", "data1.qcow2", "vars.fd"):
        (tmp_path / name).touch()
    assert [disk.name for disk in keep.disks(at)] == ["data1.qcow2", "disk.qcow2"]
    assert keep.layer(at.disk).name == "disk.2.qcow2"
    assert keep.layer(at.data_disk(1)).name == "data1.0.qcow2"


def test_what_is_below_a_disk() -> None:
    name = b"../base.raw"
    head = b"QFI\xfb" + (3).to_bytes(4) + (64).to_bytes(8) + len(name).to_bytes(4)
    assert keep.backing(head.ljust(64, b"\0") + name) == "../base.raw"
    assert keep.backing(b"QFI\xfb" + bytes(60)) == ""
    with pytest.raises(BadInput, match="not a qcow2 image"):
        keep.backing(b"garbage")
