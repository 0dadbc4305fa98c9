"""What the rules need to know about this machine. All of it is read; only `own_…` make something."""

from __future__ import annotations

import base64
import os
import secrets
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orlop.files import write_atomic
from orlop.node.config.eachboot import FileSystem, Partition
from orlop.node.config.platforms import Hardware

DMI = Path("/sys/class/dmi/id")
FW_CFG = Path("/sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw")
FW_CFG_DRIVER = Path("/sys/firmware/qemu_fw_cfg")
HELPER = Path("/proc/sys/kernel/modprobe")
ALL_MODULES = "/usr/lib/orlop/modprobe"  # in the initrd: looks into the image's modules, which are many more
_DMI_NAMES = ("sys_vendor", "product_name", "chassis_asset_tag")
_KEY_BYTES = 64
_SECRET_BYTES = 32


def arguments(path: Path = Path("/proc/cmdline")) -> list[str]:
    """The words of the kernel command line. A quoted blank is not expected in one of ours."""
    return path.read_text(errors="replace").split()


def hardware(dmi: Path = DMI, fw_cfg: Path = FW_CFG) -> Hardware:
    dmi_values = {name: _line(dmi / name) for name in _DMI_NAMES}
    return Hardware({name: text for name, text in dmi_values.items() if text}, fw_cfg.exists())


@contextmanager
def all_modules(helper: Path = HELPER) -> Iterator[None]:
    """Let the kernel find all of the image's modules when it asks for one, as long as the initrd is its root."""
    before = helper.read_text()
    helper.write_text(ALL_MODULES)
    try:
        yield
    finally:
        helper.write_text(before)


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def partitions(device: str, sysfs: Path = Path("/sys/class/block")) -> tuple[Partition, ...]:
    """The partitions the kernel knows on a disk; none when the disk is not there, which is Ignition's to say."""
    disk = sysfs / Path(os.path.realpath(device)).name
    partitions_there = []
    for uevent in sorted(disk.glob("*/partition")):
        values = _uevent(uevent.parent / "uevent")
        if values.get("PARTN", "").isdigit():
            partitions_there.append(Partition(int(values["PARTN"]), values.get("PARTNAME", "")))
    return tuple(sorted(partitions_there, key=lambda p: p.number))


def _uevent(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def filesystem(device: str) -> FileSystem | None:
    """What blkid finds on a device, or None."""
    argv = ["blkid", "-p", "-o", "export", device]
    told = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    values = dict(line.split("=", 1) for line in told.stdout.splitlines() if "=" in line)
    if "TYPE" not in values:
        return None
    return FileSystem(values["TYPE"], values.get("LABEL", ""), values.get("UUID", ""))


def scan_btrfs(degraded: Iterable[str], rules: Path = Path("/run/udev/rules.d/65-orlop-degraded.rules")) -> None:
    """Tell the kernel which devices belong together: it mounts a file system on several when it has seen all of them.
    Those of the file systems on `degraded` never come together, and udev would hold them back for that.
    """
    for argv in (["modprobe", "-q", "btrfs"], ["btrfs", "device", "scan"]):
        subprocess.run(argv, capture_output=True, check=False, timeout=60)
    there = [found for device in degraded if (found := filesystem(device))]
    lines = [f'SUBSYSTEM=="block", ENV{{ID_FS_UUID}}=="{fs.uuid}", ENV{{SYSTEMD_READY}}="1"\n' for fs in there]
    if lines:
        rules.parent.mkdir(parents=True, exist_ok=True)
        rules.write_text("".join(lines))


def is_degraded(array: Path, sysfs: Path = Path("/sys/class/block")) -> bool:
    """Whether an array that runs lacks a member."""
    try:
        return (sysfs / array.resolve().name / "md/degraded").read_text().strip() not in ("", "0")
    except OSError:
        return False


def kinds(root: Path, paths: Iterable[str]) -> Mapping[str, str]:
    """What stands at each path below the new root, links not followed; paths that are free are left out."""
    by_path = {}
    for path in paths:
        try:
            mode = (root / path.lstrip("/")).lstat().st_mode
        except OSError:
            continue
        if stat.S_ISLNK(mode):
            by_path[path] = "link"
        elif stat.S_ISDIR(mode):
            by_path[path] = "dir"
        else:
            by_path[path] = "file" if stat.S_ISREG(mode) else "other"
    return by_path


def own_secret(path: Path) -> None:
    """The secret that this machine is known by to itself, 64 hexadecimal digits: it outlives every boot and update.

    Made when it is not there; made anew when it is damaged or cut short, which costs a place in a rollout.
    """
    try:
        if len(bytes.fromhex(path.read_text(errors="replace").strip())) == _SECRET_BYTES:
            return
    except (OSError, ValueError):
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_dir():
        path.rename(path.with_name(f"{path.name}.aside"))
    write_atomic(path, secrets.token_hex(_SECRET_BYTES) + "\n", mode=0o400)


def own_key(folder: Path, volume: str) -> str:
    """This machine's key for an encrypted volume, as a data URL; made, safely on disk, when it is first asked for."""
    path = folder / f"{volume}.key"
    if path.exists() and not (
        path.is_file() and path.stat().st_size == _KEY_BYTES
    ):  # an empty key must never lock a new volume
        path.rename(path.with_name(f"{path.name}.damaged"))
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, secrets.token_bytes(_KEY_BYTES), mode=0o400)
    return "data:;base64," + base64.b64encode(path.read_bytes()).decode()
