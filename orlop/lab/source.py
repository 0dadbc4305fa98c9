"""By which way a node is given its Ignition configuration, as a value, and what a machine has for it. Pure.

Why so many: on real machines the configuration comes from a cloud's metadata service, a config drive, a kernel argument
or a file, and each must be met in the lab as it is met there. The configuration itself is a file in the node's folder
(`ignition` of its paths), replaced whole; the record of the lab keeps only the way. What is served is that file as it
is when a machine asks; everything else QEMU reads when it starts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orlop.errors import BadInput
from orlop.lab.metadata import web
from orlop.lab.nodeconfig import CREDENTIAL
from orlop.machines.paths import MachinePaths
from orlop.machines.qemu import Drive, Service, WayOut, value

FW_CFG = "opt/com.coreos/config"
METADATA_NIC = "md"
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
class LabSource:
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

    source: LabSource
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
        raise BadInput(
            f"--config-source {text!r} is not a way to give a configuration", hint=f"one of: {ways}"
        ) from None


def check_container_source(source: LabSource) -> None:
    """Raise BadInput for a way that a container machine cannot have."""
    if source.way is Way.FW_CFG or (source.way is Way.URL and source.url):
        return
    if source.way is Way.URL:
        why, hint = "is given a file directly", "leave --config-source out, or give the address of a server of yours"
    else:
        why, hint = "has no firmware, no disks and no cloud", "leave --config-source out: it is given the file directly"
    raise BadInput(f"--config-source {source.way} is for whole machines: a container machine {why}", hint=hint)


def drives(source: LabSource | None, at: MachinePaths) -> tuple[Drive, ...]:
    """The disk, or the CD, that holds the configuration."""
    match source.way if source else None:
        case Way.DISK | Way.CONFIG_DRIVE:
            return (Drive("config", at.config_disk, "config", is_raw=True),)
        case Way.AZURE_CDROM:
            return (Drive("config", at.config_disk, "config", is_raw=True, is_cd=True),)
        case _:
            return ()


def fw_cfg(source: LabSource | None, at: MachinePaths) -> tuple[tuple[str, Path], ...]:
    """What comes by QEMU's own way. The lab's part comes so, but for clouds: see `strings`."""
    own = () if source and source.cloud else ((f"opt/io.systemd.credentials/{CREDENTIAL}", at.config),)
    given = ((FW_CFG, at.ignition),) if source and source.way is Way.FW_CFG else ()
    return (*own, *given)


def tables(source: LabSource | None) -> tuple[str, ...]:
    """What the firmware says of itself, and the kernel argument that it adds."""
    if source is None:
        return ()
    if source.way is Way.URL:
        wanted = f"ignition.config.url={source.url or WEB_URL}"
        return (f"type=11,value=io.systemd.stub.kernel-cmdline-extra={value(wanted)}",)
    return IDENTITIES.get(source.cloud, ())


def strings(source: LabSource | None, at: MachinePaths) -> tuple[Path, ...]:
    """How the lab's own part reaches a machine in a cloud: systemd asks fw_cfg only where the firmware's maker is
    called QEMU, and the firmware's own tables always.
    """
    return (at.firmware_text,) if source and source.cloud else ()


def web_services(source: LabSource | None, at: MachinePaths, root: Path) -> tuple[Service, ...]:
    """What there is on the card that leads out. `root`: the folder our package is in."""
    if source is None or source.way is not Way.URL or source.url:
        return ()
    return (_service(WEB_ADDRESS, source, "web", at.ignition, root),)


def metadata_net(source: LabSource | None, at: MachinePaths, root: Path) -> WayOut | None:
    """The network where the metadata service is, and nothing else. `root`: the folder our package is in."""
    if source is None or not source.has_service:
        return None
    file = at.no_ignition if source.way is Way.AZURE_CDROM else at.ignition
    return WayOut((), (_service(METADATA_ADDRESS, source, source.cloud, file, root),), _NET_OPTIONS)


def _service(address: str, source: LabSource, service: str, file: Path, root: Path) -> Service:
    if source.port:
        return Service(address, ("socat", "-", f"TCP:127.0.0.1:{source.port}"))
    serve = ("python3", "-B", "-s", "-m", "orlop.lab.metadata.serve", service, file.parent.name, str(file))
    return Service(address, ("env", f"PYTHONPATH={root}", *serve))
