"""The disks, and the file on the ESP, that bring a node its configuration; made anew before each power-on.

Lifetime: in the node's folder, replaced whole. The ESP is on the node's own disk: the file is taken away from there
again when the configuration comes another way.
"""

from __future__ import annotations

import base64
from pathlib import Path

from orlop.files import write_atomic
from orlop.lab.metadata import openstack
from orlop.lab.metadata.http import Instance
from orlop.lab.nodeconfig import CREDENTIAL
from orlop.lab.source import LabSource, Way
from orlop.machines.medium import make_iso, write_esp
from orlop.machines.paths import MachinePaths
from orlop.machines.tools import Tools

ESP_FILE = ("orlop", "config.ign")
DISK_LABEL = "orlop-config"
DRIVE_LABEL = "config-2"

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


def prepare(tools: Tools, at: MachinePaths, source: LabSource | None, image: Path) -> None:
    """Make what `source` needs beside the configuration's file; the node is off. `image`: the disk its own is over."""
    name = at.folder.name
    if source and source.cloud:
        text = base64.b64encode(at.config.read_bytes()).decode()
        write_atomic(at.firmware_text, f"io.systemd.credential.binary:{CREDENTIAL}={text}", mode=0o600)
    way = source.way if source else None
    if way is Way.ESP or at.esp_mark.exists():
        at.esp_mark.touch()  # before it is there: what is marked in vain is only looked at again
        write_esp(tools, at.disk, image, ESP_FILE, at.ignition.read_bytes() if way is Way.ESP else None)
        if way is not Way.ESP:
            at.esp_mark.unlink()
    if way is Way.DISK:
        make_iso(tools, at.config_disk, DISK_LABEL, disk_files(at.ignition.read_bytes()))
    elif way is Way.CONFIG_DRIVE:
        make_iso(tools, at.config_disk, DRIVE_LABEL, drive_files(name, at.ignition.read_bytes()))
    elif way is Way.AZURE_CDROM:
        make_iso(tools, at.config_disk, "OVFENV", ovf_files(name, at.ignition.read_bytes()), "-udf")


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
