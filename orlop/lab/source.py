"""By which way a node is given its Ignition configuration, as a value, and what QEMU is told for it. Pure.

Why so many: on real machines the configuration comes from a cloud's metadata service, a config drive, a kernel argument
or a file, and each must be met in the lab as it is met there. The configuration itself is a file in the node's folder
(`NodePaths.ignition`), replaced whole; the record of the lab keeps only the way. What is served is that file as it is
when a machine asks; everything else QEMU reads when it starts.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orlop.errors import BadInput
from orlop.lab.metadata import web
from orlop.lab.paths import NodePaths

FW_CFG = "opt/com.coreos/config"
METADATA_NIC, METADATA_NET = "md", "mdnet"
WEB_ADDRESS = "10.0.2.100"  # on the card that leads out
WEB_URL = f"http://{WEB_ADDRESS}{web.PATH}"
METADATA_ADDRESS = "169.254.169.254"
_NET_OPTIONS = "net=169.254.169.0/24,host=169.254.169.1,dhcpstart=169.254.169.15,restrict=on,ipv6=off"
_URL = re.compile(r"https?://[!-~]+")


class Way(StrEnum):
    """The words of `--config-source`."""

    FW_CFG = "fw_cfg"
    URL = "url"
    ESP = "esp"
    DISK = "disk"
    AWS = "aws"
    AZURE = "azure"
    AZURE_CDROM = "azure-cdrom"
    GCP = "gcp"
    OPENSTACK = "openstack"
    CONFIG_DRIVE = "config-drive"


# What a firmware says of itself, by SMBIOS table: how a system knows in which cloud it is.
IDENTITIES = {
    "aws": ("type=1,manufacturer=Amazon EC2,product=t3.micro",),
    "azure": (
        "type=1,manufacturer=Microsoft Corporation,product=Virtual Machine",
        "type=3,asset=7783-7084-3265-9085-8269-3286-77",
    ),
    "gcp": ("type=1,manufacturer=Google,product=Google Compute Engine",),
    "openstack": (
        "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova",
        "type=3,asset=OpenStack Nova",
    ),
}
CLOUDS = {
    Way.AWS: "aws",
    Way.AZURE: "azure",
    Way.AZURE_CDROM: "azure",
    Way.GCP: "gcp",
    Way.OPENSTACK: "openstack",
    Way.CONFIG_DRIVE: "openstack",
}
# The most that each takes, in bytes; clouds refuse more when a machine is made. QEMU would take more, but the time a
# machine reads fw_cfg grows with the square of the size: 10 MB took minutes.
LIMITS = {
    Way.FW_CFG: 1_000_000,
    Way.AWS: 16_384,
    Way.AZURE: 65_535,
    Way.AZURE_CDROM: 65_535,
    Way.GCP: 262_144,
    Way.OPENSTACK: 49_151,  # 65535 in base64
    Way.CONFIG_DRIVE: 49_151,
}


@dataclass(frozen=True)
class Source:
    """The way, without the configuration. `url`: for `url`, an address elsewhere that the machine is told instead of
    the lab's own. `port`: a service on this computer's loopback that answers the machine instead of the lab's own.
    """

    way: Way
    url: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        if self.url and (self.way is not Way.URL or not _URL.fullmatch(self.url)):
            raise BadInput(
                f"{self.url!r} cannot be given by way of {self.way}",
                hint="an address begins with http:// or https://, and goes with --config-source url",
            )

    @property
    def cloud(self) -> str:
        """Which cloud the machine believes to be in, or ""."""
        return CLOUDS.get(self.way, "")

    @property
    def has_service(self) -> bool:
        """Whether there is a metadata service, on a card of its own. A config drive stands for clouds without one."""
        return bool(self.cloud) and self.way is not Way.CONFIG_DRIVE

    @property
    def is_served(self) -> bool:
        """Whether a machine that runs gets a changed configuration when it boots again."""
        return self.way in (Way.URL, Way.AWS, Way.AZURE, Way.GCP, Way.OPENSTACK)


@dataclass(frozen=True)
class Given:
    """What one node is given: any bytes, so that a test can give what no machine accepts.

    Raises BadInput when the cloud would not take so much.
    """

    source: Source
    config: bytes

    def __post_init__(self) -> None:
        most = LIMITS.get(self.source.way)
        if most is not None and len(self.config) > most:
            raise BadInput(
                f"the configuration is {len(self.config)} bytes long, by way of {self.source.way} {most} are the most",
                hint="put it on a web server, and give a small one that has `ignition: config: replace: source:` or "
                "`merge:` with its address",
            )


def parse_way(text: str) -> Way:
    try:
        return Way(text)
    except ValueError:
        ways = ", ".join(Way)
        raise BadInput(f"--config-source {text!r} is no way to give a configuration", hint=f"one of: {ways}") from None


def arguments(source: Source, at: NodePaths) -> list[str]:
    """What QEMU is told, but for the cards: see `outside` and `metadata_net`."""
    args = [word for table in IDENTITIES.get(source.cloud, ()) for word in ("-smbios", table)]
    match source.way:
        case Way.FW_CFG:
            args += ["-fw_cfg", f"name={FW_CFG},file={value(at.ignition)}"]
        case Way.URL:
            wanted = f"ignition.config.url={source.url or WEB_URL}"
            args += ["-smbios", f"type=11,value=io.systemd.stub.kernel-cmdline-extra={value(wanted)}"]
        case Way.DISK | Way.CONFIG_DRIVE:
            args += ["-drive", f"if=none,id=config,format=raw,readonly=on,file={value(at.config_disk)}"]
            args += ["-device", "virtio-blk-pci,drive=config,serial=config"]
        case Way.AZURE_CDROM:
            args += ["-drive", f"if=none,id=config,media=cdrom,format=raw,readonly=on,file={value(at.config_disk)}"]
            args += ["-device", "ide-cd,drive=config,bus=ide.0"]
        case Way.ESP | Way.AWS | Way.AZURE | Way.GCP | Way.OPENSTACK:
            pass
    return args


def credentials(source: Source | None, at: NodePaths, name: str) -> list[str]:
    """How the lab's own part reaches the machine: systemd asks fw_cfg only where the firmware's maker is called QEMU,
    and the firmware's own tables always.
    """
    if source and source.cloud:
        return ["-smbios", f"type=11,path={value(at.firmware_text)}"]
    return ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={value(at.config)}"]


def outside(source: Source | None, at: NodePaths, node: str, root: Path) -> str:
    """What the card that leads out has in addition, as the end of its option."""
    if source is None or source.way is not Way.URL or source.url:
        return ""
    return _forward(WEB_ADDRESS, source, "web", at.ignition, node, root)


def metadata_net(source: Source, at: NodePaths, node: str, root: Path) -> str:
    """The network where the metadata service is, and nothing else. `root`: the folder our package is in."""
    file = at.no_ignition if source.way is Way.AZURE_CDROM else at.ignition
    forward = _forward(METADATA_ADDRESS, source, source.cloud, file, node, root)
    return f"user,id={METADATA_NET},{_NET_OPTIONS}{forward}"


def _forward(address: str, source: Source, service: str, file: Path, node: str, root: Path) -> str:
    if source.port:
        command = ["socat", "-", f"TCP:127.0.0.1:{source.port}"]
    else:
        serve = ["python3", "-B", "-s", "-m", "orlop.lab.metadata.serve", service, node, str(file)]
        command = ["env", f"PYTHONPATH={root}", *serve]
    return f",guestfwd=tcp:{address}:80-cmd:{value(shlex.join(command))}"


def value(text: Path | str) -> str:
    """A value inside a QEMU option: commas are doubled."""
    return str(text).replace(",", ",,")
