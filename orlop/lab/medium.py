"""The disks, and the file on the ESP, that bring a node its configuration; made anew before each power-on.

Lifetime: in the node's folder, replaced whole. The ESP is on the node's own disk: it is copied out of the disk, changed
and written back while the node is off, and the file is taken away again when the configuration comes another way.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import write_atomic
from orlop.lab.metadata import openstack
from orlop.lab.metadata.http import Instance
from orlop.lab.nodeconfig import CREDENTIAL
from orlop.lab.paths import NodePaths, Paths
from orlop.lab.source import Source, Way
from orlop.processes import run
from orlop.sdk.run import in_sdk, sdk_run

ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ESP_FILE = ("orlop", "config.ign")
DISK_LABEL = "orlop-config"
DRIVE_LABEL = "config-2"
_SECONDS = 120

_OVF = """\
<?xml version="1.0" encoding="utf-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:wa="http://schemas.microsoft.com/windowsazure">
 <wa:ProvisioningSection>
  <wa:Version>1.0</wa:Version>
  <LinuxProvisioningConfigurationSet xmlns="http://schemas.microsoft.com/windowsazure">
   <ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType>
   <HostName>{name}</HostName>
   <CustomData>{data}</CustomData>
  </LinuxProvisioningConfigurationSet>
 </wa:ProvisioningSection>
</Environment>
"""


def prepare(paths: Paths, name: str, source: Source | None, image: Path) -> None:
    """Make what `source` needs beside the configuration's file; the node is off. `image`: the disk its own is over."""
    at = paths.node(name)
    if source and source.cloud:
        text = base64.b64encode(at.config.read_bytes()).decode()
        write_atomic(at.firmware_text, f"io.systemd.credential.binary:{CREDENTIAL}={text}", mode=0o600)
    way = source.way if source else None
    if way is Way.ESP or at.esp_mark.exists():
        _write_esp(paths, at, image, at.ignition.read_bytes() if way is Way.ESP else None)
    if way is Way.DISK:
        _make_iso(paths, at.config_disk, DISK_LABEL, disk_files(at.ignition.read_bytes()))
    elif way is Way.CONFIG_DRIVE:
        _make_iso(paths, at.config_disk, DRIVE_LABEL, drive_files(name, at.ignition.read_bytes()))
    elif way is Way.AZURE_CDROM:
        _make_iso(paths, at.config_disk, "OVFENV", ovf_files(name, at.ignition.read_bytes()), "-udf")


def disk_files(config: bytes) -> dict[str, bytes]:
    return {"config.ign": config}


def drive_files(name: str, config: bytes) -> dict[str, bytes]:
    """An OpenStack config drive: the tree of the metadata service, in its newest version and by a date."""
    files = openstack.files(Instance(name, config))
    return {
        f"openstack/{version}/{file}": data.encode() if isinstance(data, str) else data
        for version in (openstack.VERSIONS[0], "latest")
        for file, data in files.items()
    }


def ovf_files(name: str, config: bytes) -> dict[str, bytes]:
    """What Azure's virtual CD holds: custom data as a file, and in base64 in the environment."""
    environment = _OVF.format(name=name, data=base64.b64encode(config).decode())
    return {"ovf-env.xml": environment.encode(), "CustomData.bin": config}


def _make_iso(paths: Paths, disk: Path, label: str, files: Mapping[str, bytes], *options: str) -> None:
    with tempfile.TemporaryDirectory(prefix=".making-", dir=disk.parent) as made:
        tree, iso = Path(made) / "tree", Path(made) / "iso"
        for name, data in files.items():
            file = tree / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        argv: list[str | Path] = ["genisoimage", "-quiet", "-J", "-r", *options, "-V", label, "-o", iso, tree]
        sdk_run(paths.ws, argv, what=f"making the disk {label}", timeout=_SECONDS)
        iso.chmod(0o600)
        iso.rename(disk)


def _write_esp(paths: Paths, at: NodePaths, image: Path, config: bytes | None) -> None:
    """Put the configuration on the ESP of the node's disk, or take it away."""
    start, size = _esp(paths, image)
    part = (
        f"driver=raw,offset={start},size={size},file.driver=qcow2,file.file.filename={str(at.disk).replace(',', ',,')}"
    )
    with tempfile.TemporaryDirectory(prefix=".making-", dir=at.folder) as made:
        raw, file = Path(made) / "esp", Path(made) / "config"
        take: list[str | Path] = ["qemu-img", "convert", "-O", "raw", "--image-opts", part, raw]
        sdk_run(paths.ws, take, what="reading the ESP", binds=[image.parent], timeout=_SECONDS)
        folder, name = ESP_FILE
        if config is None:
            script = 'mdel -i "$1" "::$3/$4"'
        else:
            file.write_bytes(config)
            script = 'mmd -D s -i "$1" "::$3"; mcopy -o -i "$1" "$2" "::$3/$4"'
        argv = in_sdk(paths.ws, ["sh", "-c", script, "sh", raw, file, folder, name])
        run(argv, what="writing to the ESP", timeout=_SECONDS)
        put: list[str | Path] = ["qemu-img", "convert", "-n", "-f", "raw", "--target-image-opts", raw, part]
        at.esp_mark.touch()  # before it is there: what is marked in vain is only looked at again
        sdk_run(paths.ws, put, what="writing the ESP back", binds=[image.parent], timeout=_SECONDS)
    if config is None:
        at.esp_mark.unlink()


def _esp(paths: Paths, image: Path) -> tuple[int, int]:
    """Where the ESP begins on the image's disk, and how long it is, in bytes."""
    table = json.loads(sdk_run(paths.ws, ["sfdisk", "--json", image], what="finding the ESP", binds=[image.parent]))
    for part in table["partitiontable"].get("partitions", ()):
        if part["type"].upper() == ESP_TYPE:
            return part["start"] * 512, part["size"] * 512
    raise BadInput(f"{image} has no ESP to put a configuration on", hint="--config-source fw_cfg needs none")
