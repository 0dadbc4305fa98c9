"""What the engine and the simulators make, read by the real tools of the SDK."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from orlop.errors import CommandFailed
from orlop.files import remove_tree
from orlop.model.update.boot import Uki
from orlop.node.update.blobs.fetch import Fetcher
from orlop.node.update.blobs.source import FolderSource
from orlop.node.update.slot import verity
from orlop.node.update.slot.device import OpenFile
from orlop.node.update.slot.disk import open_disk, partition_device
from orlop.node.update.slot.esp import EspFolder
from orlop.node.update.slot.progress import finish
from orlop.node.update.slot.writer import Writer
from orlop.sdk import tree
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators import machine
from simulators.medium import SECTOR
from simulators.releases import Release, release

pytestmark = pytest.mark.sdk

FIRST = release("20261201.1", blocks=200)
SECOND = release("20261202.1", blocks=200, like=FIRST)

# as an image could carry them: the labels and names are the contract
TRANSFERS = {
    "10-usr": ("usr", "orlop_@v", "orlop_@v.usr.raw"),
    "20-verity": ("usr-verity", "orlop_@v_verity", "orlop_@v.usr-verity.raw"),
}


@pytest.fixture(scope="module")
def ws() -> Workspace:
    found = Workspace.find()
    tree.ensure(found, Steps())
    return found


def on_file(folder: Path, first: Release, second: Release | None = None) -> Path:
    path = folder / "disk.raw"
    medium = machine.install(first, second)
    path.write_bytes(medium.durable.read(0, medium.size))
    return path


def update(path: Path, folder: Path, old: Release, new: Release, esp: Path) -> None:
    new.publish(folder / "server")
    disk = open_disk(path, old.index.root_hash)
    writer = Writer(disk, EspFolder(esp), old.version)
    writer.prepare(new.index)
    finish(writer.fill(new.index, Fetcher([FolderSource(folder / "server")])))
    finish(writer.verify(new.index))
    writer.publish(new.index)
    disk.close()


def esp_folder(folder: Path, old: Release) -> Path:
    (folder / "esp/EFI/Linux").mkdir(parents=True)
    (folder / "esp/EFI/Linux" / Uki(old.version).name).write_bytes(old.uki)
    return folder / "esp"


@pytest.mark.parametrize("blocks", [2, 128, 129, 500])
def test_veritysetup_makes_the_tree_that_is_verified(ws: Workspace, tmp_path: Path, blocks: int) -> None:
    made = release("20261201.1", blocks=blocks)
    (tmp_path / "usr").write_bytes(made.usr)
    argv: list[str | Path] = ["veritysetup", "format", tmp_path / "usr", tmp_path / "tree", "--salt=0badc0de"]
    out = sdk_run(ws, argv, what="making a tree", binds=[tmp_path])
    root = next(line.split()[-1] for line in out.splitlines() if line.startswith("Root hash:"))
    verity.verify(OpenFile(tmp_path / "usr"), OpenFile(tmp_path / "tree"), root)


def test_what_an_update_writes_satisfies_veritysetup(ws: Workspace, tmp_path: Path) -> None:
    path = on_file(tmp_path, FIRST)
    update(path, tmp_path, FIRST, SECOND, esp_folder(tmp_path, FIRST))
    disk = open_disk(path, FIRST.index.root_hash)
    other = disk.slots()[1]
    raw = path.read_bytes()
    for name in ("usr", "verity"):
        entry = other.part(name)
        (tmp_path / name).write_bytes(raw[entry.first * SECTOR : (entry.last + 1) * SECTOR])
    disk.close()
    argv: list[str | Path] = ["veritysetup", "verify", tmp_path / "usr", tmp_path / "verity", SECOND.index.root_hash]
    assert sdk_run(ws, argv, what="verifying the slot", binds=[tmp_path]) == ""
    with pytest.raises(CommandFailed):
        sdk_run(ws, [*argv[:-1], FIRST.index.root_hash], what="verifying the slot", binds=[tmp_path])


def test_sfdisk_finds_the_table_whole_after_every_change(ws: Workspace, tmp_path: Path) -> None:
    path = on_file(tmp_path, FIRST)
    update(path, tmp_path, FIRST, SECOND, esp_folder(tmp_path, FIRST))
    assert "No errors detected" in sdk_run(
        ws, ["sfdisk", "--verify", path], what="checking the table", binds=[tmp_path]
    )
    about = json.loads(sdk_run(ws, ["sfdisk", "--json", path], what="reading the table", binds=[tmp_path]))
    found = [(p["name"], p["uuid"].lower()) for p in about["partitiontable"]["partitions"]]
    root = SECOND.index.root_hash
    assert found[1][0] == "orlop_20261201.1"
    assert [name for name, _ in found[3:]] == ["orlop_20261202.1", "orlop_20261202.1_verity"]
    assert "".join(own.replace("-", "") for _, own in found[3:]) == root


def test_systemd_sysupdate_lists_our_versions(ws: Workspace, tmp_path: Path) -> None:
    path = on_file(tmp_path, FIRST)
    update(path, tmp_path, FIRST, SECOND, esp_folder(tmp_path, FIRST))
    third = release("20261203.1", blocks=200)
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    for name, (kind, label, file) in TRANSFERS.items():
        (definitions / f"{name}.transfer").write_text(
            "[Transfer]\nVerify=no\n"
            f"[Source]\nType=regular-file\nPath={tmp_path / 'files'}\nMatchPattern={file}\n"
            f"[Target]\nType=partition\nPath={path}\nMatchPattern={label}\nMatchPartitionType={kind}\n"
        )
    third.publish(tmp_path / "files", by_name=True)
    argv: list[str | Path] = [
        *("/usr/lib/systemd/systemd-sysupdate", "--json=short", f"--definitions={definitions}", "list"),
    ]
    out = sdk_run(ws, argv, what="asking sysupdate", binds=[tmp_path])
    listed = json.loads(out[out.index("{") :])
    assert listed["all"] == ["20261203.1", "20261202.1", "20261201.1"]
    about = sdk_run(ws, [*argv, "20261202.1"], what="asking sysupdate", binds=[tmp_path])
    assert json.loads(about[about.index("{") :])["version"] == "20261202.1"


def test_the_fat_volume_is_one_for_mtools_and_fsck(ws: Workspace, tmp_path: Path) -> None:
    medium = machine.install(FIRST, SECOND, fill=6)
    esp = machine.esp_of(medium, random.Random(1))
    esp.rename(Uki(SECOND.version).name, Uki.fresh(SECOND.version).name)
    with esp.writing("orlop_20261203.1.part", 9000) as file:
        file.write(b"x" * 9000, 0)
        file.flush()
    esp.remove("other3.txt")
    window = machine.windows(medium)[0]
    image = tmp_path / "esp.img"
    image.write_bytes(medium.durable.read(window.start, window.size))
    listed = sdk_run(ws, ["mdir", "-b", "-i", image, "::/EFI/Linux"], what="listing", binds=[tmp_path])
    assert sorted(line.rpartition("/")[2] for line in listed.split()) == sorted(esp.names())
    out = tmp_path / "copy"
    sdk_run(
        ws, ["mcopy", "-i", image, f"::/EFI/Linux/{Uki(FIRST.version).name}", out], what="copying", binds=[tmp_path]
    )
    assert out.read_bytes() == FIRST.uki
    assert "files" in sdk_run(ws, ["fsck.vfat", "-n", image], what="checking the volume", binds=[tmp_path])


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="attaches a loop device")
def test_the_same_on_a_block_device(tmp_path: Path) -> None:
    """The kernel's own partitions of a real block device: written through them, read through the whole."""
    path = on_file(tmp_path, FIRST)
    loop = subprocess.run(
        ["losetup", "--find", "--show", "--partscan", path], check=True, capture_output=True, text=True, timeout=20
    ).stdout.strip()
    try:
        subprocess.run(["partx", "--update", loop], check=True, capture_output=True, timeout=20)
        update(Path(loop), tmp_path, FIRST, SECOND, esp_folder(tmp_path, FIRST))
        disk = open_disk(Path(loop), FIRST.index.root_hash)
        mine, other = disk.slots()
        assert (mine.version, other.version) == (FIRST.version, SECOND.version)
        assert partition_device(Path(loop), other.usr.number).is_block_device()
        with disk.reading(other.usr) as usr, disk.reading(other.verity) as hashes:
            verity.verify(usr, hashes, SECOND.index.root_hash)
        disk.close()
    finally:
        subprocess.run(["partx", "--delete", loop], check=False, capture_output=True, timeout=20)
        subprocess.run(["losetup", "--detach", loop], check=True, timeout=20)
    raw = path.read_bytes()
    assert raw[other.usr.first * SECTOR :][: len(SECOND.usr)] == SECOND.usr
    assert raw[mine.usr.first * SECTOR :][: len(FIRST.usr)] == FIRST.usr
    remove_tree(tmp_path / "esp")
