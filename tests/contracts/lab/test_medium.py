"""What brings a node its configuration, read back by the tools that know these formats: blkid, isoinfo, mtools.

The node's disk is a real one of the lab's making, over a disk that has an ESP; nothing is booted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.lab import delivery
from orlop.lab.metadata import openstack
from orlop.lab.paths import LabPaths
from orlop.lab.source import LabSource, Way
from orlop.machines import medium
from orlop.machines.paths import MachinePaths
from orlop.machines.vm import make_disk
from orlop.processes import run
from orlop.sdk import tree
from orlop.sdk.run import in_sdk, sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = [pytest.mark.sdk]

CONFIG = b'{"ignition": {"version": "3.3.0"}}'
ESP_START, ESP_SECTORS = 2048, 131072
_ESP = f'label: gpt\nstart={ESP_START}, size={ESP_SECTORS}, type={medium.ESP_TYPE}, name="esp"\n'


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    shared = Workspace.find()
    tree.ensure(shared, Steps())
    state = tmp_path / "a, state"
    state.mkdir()
    (state / "sdk").symlink_to(shared.sdk)
    return Workspace(shared.root, state)


@pytest.fixture
def image(ws: Workspace) -> Path:
    """A disk with an ESP that holds a file."""
    raw, fat = ws.state / "base.raw", ws.state / "fat"
    for path, size in ((raw, 128 << 20), (fat, ESP_SECTORS * 512)):
        with path.open("wb") as f:
            f.truncate(size)
    run(in_sdk(ws, ["sfdisk", "-q", raw]), what="a partition table", stdin=_ESP.encode(), timeout=30)
    script = 'mkfs.vfat -n ESP "$1" && echo there >"$3" && mcopy -i "$1" "$3" ::/loader && '
    script += 'dd if="$1" of="$2" bs=512 seek="$4" conv=notrunc,sparse'
    sdk_run(ws, ["sh", "-c", script, "sh", fat, raw, ws.state / "f", str(ESP_START)], what="an ESP", timeout=60)
    return raw


@pytest.fixture
def paths(ws: Workspace) -> LabPaths:
    return LabPaths(ws, "a")


@pytest.fixture
def at(paths: LabPaths, image: Path) -> MachinePaths:
    made = paths.node("n1")
    made.folder.mkdir(parents=True)
    made.config.write_text("f /etc/x\n")
    made.ignition.write_bytes(CONFIG)
    make_disk(paths.tools, image, made.disk, 1)
    return made


def prepare(paths: LabPaths, image: Path, way: Way | None) -> None:
    delivery.prepare(paths.tools, paths.node("n1"), LabSource(way) if way else None, image)
    assert not list(paths.node("n1").folder.glob(".making-*"))


def label(ws: Workspace, disk: Path) -> str:
    return sdk_run(ws, ["blkid", "-p", "-o", "value", "-s", "LABEL", disk], what="blkid").strip()


def on_iso(ws: Workspace, disk: Path, file: str) -> bytes:
    return sdk_run(ws, ["isoinfo", "-R", "-i", disk, "-x", f"/{file}"], what="isoinfo").encode()


def on_esp(ws: Workspace, at: MachinePaths, file: str) -> str | None:
    """The text of a file on the ESP of the node's disk, read by way of the whole disk."""
    script = 'qemu-img convert -O raw "$1" "$1.raw" && mtype -i "$1.raw@@1M" "$2" || echo NONE'
    said = sdk_run(ws, ["sh", "-c", script, "sh", at.disk, f"::/{file}"], what="reading the ESP", timeout=60)
    return None if "NONE" in said else said


def test_a_disk_with_the_label_machines_look_for(ws: Workspace, paths: LabPaths, at: MachinePaths, image: Path) -> None:
    prepare(paths, image, Way.DISK)
    assert label(ws, at.config_disk) == "orlop-config"
    assert on_iso(ws, at.config_disk, "config.ign") == CONFIG
    assert at.config_disk.stat().st_mode & 0o777 == 0o600, "a configuration holds secrets"
    at.ignition.write_bytes(b"{}")
    prepare(paths, image, Way.DISK)
    assert on_iso(ws, at.config_disk, "config.ign") == b"{}", "made anew"


def test_a_config_drive(ws: Workspace, paths: LabPaths, at: MachinePaths, image: Path) -> None:
    prepare(paths, image, Way.CONFIG_DRIVE)
    assert label(ws, at.config_disk) == "config-2"
    assert on_iso(ws, at.config_disk, "openstack/latest/user_data") == CONFIG
    assert b'"name": "n1"' in on_iso(ws, at.config_disk, f"openstack/{openstack.VERSIONS[0]}/meta_data.json")


def test_azure_s_cd_is_udf(ws: Workspace, paths: LabPaths, at: MachinePaths, image: Path) -> None:
    prepare(paths, image, Way.AZURE_CDROM)
    kind = sdk_run(ws, ["blkid", "-p", "-o", "value", "-s", "TYPE", at.config_disk], what="blkid")
    assert kind.strip() == "udf"
    assert on_iso(ws, at.config_disk, "CustomData.bin") == CONFIG
    assert b"LinuxProvisioningConfigurationSet" in on_iso(ws, at.config_disk, "ovf-env.xml")


def test_the_esp_gets_the_file_and_loses_it_again(
    ws: Workspace, paths: LabPaths, at: MachinePaths, image: Path
) -> None:
    before = image.read_bytes()
    prepare(paths, image, Way.ESP)
    assert on_esp(ws, at, "orlop/config.ign") == CONFIG.decode()
    assert on_esp(ws, at, "loader") == "there\n", "what was there stays"
    at.ignition.write_bytes(b"x" * 3_000_000)
    prepare(paths, image, Way.ESP)
    assert on_esp(ws, at, "orlop/config.ign") == "x" * 3_000_000
    prepare(paths, image, None)
    assert on_esp(ws, at, "orlop/config.ign") is None
    assert on_esp(ws, at, "loader") == "there\n"
    assert not at.esp_mark.exists()
    assert image.read_bytes() == before, "the image's own disk is not touched"


@pytest.mark.usefixtures("at")
def test_a_disk_without_an_esp(ws: Workspace, paths: LabPaths, image: Path) -> None:
    run(in_sdk(ws, ["sfdisk", "-q", "--force", image]), what="an empty table", stdin=b"label: gpt\n", timeout=30)
    with pytest.raises(BadInput, match="has no ESP"):
        prepare(paths, image, Way.ESP)


def test_what_the_lab_gives_is_in_the_firmware_s_tables_in_a_cloud(
    paths: LabPaths, at: MachinePaths, image: Path
) -> None:
    prepare(paths, image, Way.AWS)
    assert at.firmware_text.read_text() == "io.systemd.credential.binary:tmpfiles.extra=ZiAvZXRjL3gK"
    assert at.firmware_text.stat().st_mode & 0o777 == 0o600
