"""Where this machine lives, and so where its configuration is looked for. Pure.

The names are Ignition's. A machine says what it is by its firmware tables (SMBIOS, in sysfs as DMI), the way each cloud
documents it; the kernel argument `ignition.platform.id=` overrides. `metal` asks nobody: there the configuration is a
URL on the kernel command line, or a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SUPPORTED = ("aws", "azure", "gcp", "metal", "openstack", "qemu")
AZURE_CHASSIS = "7783-7084-3265-9085-8269-3286-77"
NAMES = {"gcp": {"metadata.google.internal": "169.254.169.254"}}  # as Google's own images have them in /etc/hosts

_ARGUMENT = "ignition.platform.id="
_URL = "ignition.config.url="


@dataclass(frozen=True)
class Hardware:
    """`dmi`: the files of /sys/class/dmi/id by name; `has_fw_cfg`: QEMU was given a configuration."""

    dmi: Mapping[str, str]
    has_fw_cfg: bool


def platform(arguments: Sequence[str], hardware: Hardware) -> str:
    """The platform's name. `arguments` are the words of the kernel command line; the last one that speaks counts.

    A name that is not in SUPPORTED is returned as it is: it is for the caller to refuse it.
    """
    named = [word.removeprefix(_ARGUMENT) for word in arguments if word.startswith(_ARGUMENT)]
    if named:
        return named[-1]
    dmi = hardware.dmi
    if dmi.get("sys_vendor") == "Amazon EC2":
        return "aws"
    if dmi.get("product_name") == "Google Compute Engine":
        return "gcp"
    if dmi.get("chassis_asset_tag") == AZURE_CHASSIS:
        return "azure"
    if dmi.get("product_name") in ("OpenStack Nova", "OpenStack Compute") or dmi.get("chassis_asset_tag") == (
        "OpenStack Nova"
    ):
        return "openstack"
    return "qemu" if hardware.has_fw_cfg else "metal"


def config_url(arguments: Sequence[str]) -> str:
    """What `ignition.config.url=` says, or ""."""
    return next((word.removeprefix(_URL) for word in reversed(arguments) if word.startswith(_URL)), "")


def source(name: str, url: str, file: str) -> str:
    """Where the configuration comes from, as a person reads it. `file`: the file it was found in, or ""."""
    if url:
        return f"the URL on the kernel command line, {url}"
    if file:
        return file
    return {
        "qemu": "QEMU's fw_cfg, opt/com.coreos/config",
        "aws": "the metadata service of AWS",
        "azure": "the metadata service of Azure, or its virtual CD",
        "gcp": "the metadata service of GCP",
        "openstack": "the config drive or the metadata service of OpenStack",
        "metal": "nowhere: no URL on the kernel command line, no config.ign on the ESP or on a disk orlop-config",
    }.get(name, name)
