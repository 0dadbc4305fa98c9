"""`boot_device` of fcos: encrypt or mirror the disk the system boots from.

On an Orlop machine /usr is checked block by block against a hash in the boot loader's entry, and a configuration writes
to other disks only. So either is refused, with what does the same for the data; what asks for nothing is let pass.
"""

from __future__ import annotations

from orlop.provision.report import Report
from orlop.provision.tree import Obj

LAYOUTS = ("aarch64", "ppc64le", "x86_64")
S390X = ("s390x-eckd", "s390x-virt", "s390x-zfcp")
_ROOT_MIB = 8192
_NUMBERS = {"BIOS-BOOT": 1, "PowerPC-PReP-boot": 1, "EFI-SYSTEM": 2, "boot": 3, "root": 4}


def check(root: Obj, report: Report) -> None:
    device = root.obj("boot_device")
    layout = device.text("layout")
    if layout in S390X:
        hint = "leave it out: images are for x86-64"
        report.error(device.at("layout"), f"the layout {layout} is for a kind of machine that has no image", hint)
    elif layout and layout not in LAYOUTS:
        report.error(device.at("layout"), f"unknown layout {layout!r}", f"one of: {', '.join(LAYOUTS)}")
    if device.obj("mirror").texts("devices"):
        report.error(
            device.at("mirror"),
            "the disk that an Orlop machine boots from cannot be mirrored by a configuration",
            "mirror the data: a `storage.raid` over partitions of two other disks, mounted below /var",
        )
    luks = device.obj("luks")
    if luks.flag("tpm2") or luks.objs("tang") or luks.obj("cex").flag("enabled"):
        report.error(
            device.at("luks"),
            "the disk that an Orlop machine boots from cannot be encrypted by a configuration",
            "encrypt the data: a `storage.luks` on another disk; without a key file the machine makes a key",
        )


def warnings(root: Obj, report: Report) -> None:
    """What is likely wrong with partitions of the boot disk: a reserved label elsewhere, a root that is too small."""
    for disk in root.obj("storage").objs("disks"):
        if disk.flag("wipe_table"):
            continue
        for partition in disk.objs("partitions"):
            label = partition.text("label")
            if label in _NUMBERS and (partition.number("number") or 0) != _NUMBERS[label]:
                report.warn(
                    partition.at("label"),
                    f"the label {label!r} belongs to partition {_NUMBERS[label]}; this makes another one",
                    f"add `number: {_NUMBERS[label]}`, or choose another label",
                )
            if label == "root":
                _root_size(disk, partition, report)


def _root_size(disk: Obj, partition: Obj, report: Report) -> None:
    size = partition.number("size_mib")
    if size:
        if size < _ROOT_MIB:
            report.warn(partition.at("size_mib"), f"{size} MiB is little for root", f"use {_ROOT_MIB} MiB or more")
    elif any(not p.number("start_mib") for p in disk.objs("partitions") if p is not partition):
        report.warn(
            partition.at("label"),
            "another partition is placed right behind root, which then cannot grow",
            f"give root a `size_mib` of {_ROOT_MIB} or more, or the other partition a `start_mib`",
        )
