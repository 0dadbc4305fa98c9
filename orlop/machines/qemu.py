"""One whole machine as a QEMU command line. Pure.

q35 with UEFI, virtio for everything, no display: a cloud machine, with a watchdog as servers have. QEMU makes itself a
daemon once the machine exists, so starting it needs no polling: when the command ends well, its sockets and its pid
file are there.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from orlop.machines.paths import MachinePaths
from orlop.machines.ports import LOOPBACK, Forward
from orlop.machines.tools import Tools

LISTEN = "server=on,wait=off"
DISK_FORMAT = "qcow2,discard=unmap,detect-zeroes=unmap"

# TCG shows nearly every instruction it knows: container images may be built for any. Left out is what a kernel uses
# because it is quick on hardware, and which is slow here: `rep movsb` and `rep stosb` for copying and clearing memory
# (erms, fsrm, fsrs, fsrc, fzrm), a fifth level of page tables (la57), nested virtualisation (svm). A boot takes a third
# less processor time without them.
_EMULATED = ("-cpu", "max,-erms,-fsrm,-fsrs,-fsrc,-fzrm,-la57,-svm")
# An instruction takes 2^2 ns of a counted machine's time, on whatever computer, however busy. It does sleep when the
# machine waits (QEMU's default): without, its clock would jump to the next timer while a disk still reads, and what
# waits for the disk would run into its time limit.
COUNTED_SHIFT = 2
ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=multi,tb-size=512", *_EMULATED),
    "counted": ("-accel", "tcg,thread=single,tb-size=512", "-icount", f"shift={COUNTED_SHIFT},sleep=on", *_EMULATED),
}


@dataclass(frozen=True)
class Drive:
    """A disk of the machine. `name`: QEMU's for it; `serial`: what the machine reads. `is_raw`: as it is in the file,
    and only read; else qcow2. `is_system`: what the firmware starts from. `write_log`: every write and flush goes there
    too. `sector` is in bytes; `most`: of operations and of bytes in a second, for one that is not recorded.
    """

    name: str
    file: Path
    serial: str
    is_raw: bool = False
    is_cd: bool = False
    is_system: bool = False
    write_log: Path | None = None
    sector: int = 512
    most: tuple[int, int] | None = None


@dataclass(frozen=True)
class Service:
    """An address of the machine's network, port 80, that a command of this computer answers, one run a connection."""

    address: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class WayOut:
    """QEMU's own network: what a router with a DHCP server is to a machine. `options`: as `-netdev user` takes them."""

    forwards: tuple[Forward, ...] = ()
    services: tuple[Service, ...] = ()
    options: str = "ipv6=off"


@dataclass(frozen=True)
class SwitchPort:
    """A cable to the switch whose sockets are in `folder`."""

    folder: Path


@dataclass(frozen=True)
class Nic:
    """A network card. `is_far`: a switch stands between the card and its network, so that the card keeps its carrier
    when the cable behind that switch is unplugged.
    """

    name: str
    mac: str
    net: WayOut | SwitchPort
    is_far: bool = False

    @property
    def plug(self) -> str:
        """What QEMU unplugs, by its name there."""
        return f"{self.name}far" if self.is_far else self.name


@dataclass(frozen=True)
class WholeMachine:
    """Everything QEMU is told. `name`: for whoever lists processes. `fw_cfg`: files, by QEMU's names for them;
    `tables`: what the firmware says of itself (SMBIOS), `strings`: files, each one more string in these tables.
    `clock`: what the hardware's clock begins at, in UTC, as `2035-01-01T00:00:00`; "": now.
    """

    name: str
    uuid: str
    at: MachinePaths
    cpus: int
    memory_mib: int
    accelerator: str
    drives: tuple[Drive, ...]
    nics: tuple[Nic, ...] = ()
    fw_cfg: tuple[tuple[str, Path], ...] = ()
    tables: tuple[str, ...] = ()
    strings: tuple[Path, ...] = ()
    clock: str = ""


def command(m: WholeMachine, tools: Tools) -> list[str]:
    """The argument list, the program included."""
    p = m.at
    return [
        tools.qemu,
        *("-name", value(m.name), "-uuid", m.uuid),
        *("-machine", "q35,vmport=off", *ACCELERATORS[m.accelerator]),
        *("-smp", str(m.cpus), "-m", str(m.memory_mib)),
        *(("-rtc", f"base={m.clock}") if m.clock else ()),
        *("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-boot", "strict=on"),
        *("-daemonize", "-pidfile", str(p.pid), "-D", str(p.qemu_log)),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={tools.firmware}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={value(p.vars)}"),
        *(word for drive in m.drives for word in _drive(drive)),
        *(word for number, nic in enumerate(m.nics) for word in _nic(nic, number)),
        *("-device", "virtio-rng-pci"),
        *("-device", "i6300esb", "-action", "watchdog=reset"),
        *("-chardev", f"socket,id=con,path={value(p.console)},{LISTEN},logappend=on,logfile={value(p.console_log)}"),
        *("-serial", "chardev:con"),
        *("-chardev", f"socket,id=qmp,path={value(p.qmp)},{LISTEN}", "-mon", "chardev=qmp,mode=control"),
        *(word for name, file in m.fw_cfg for word in ("-fw_cfg", f"name={name},file={value(file)}")),
        *(word for table in m.tables for word in ("-smbios", table)),
        *(word for file in m.strings for word in ("-smbios", f"type=11,path={value(file)}")),
    ]


def _drive(drive: Drive) -> list[str]:
    how = "raw,readonly=on" if drive.is_raw else DISK_FORMAT
    if drive.is_cd:
        back = ["-drive", f"if=none,id={drive.name},media=cdrom,file={value(drive.file)},format={how}"]
        return [*back, "-device", f"ide-cd,drive={drive.name},bus=ide.0"]
    if drive.write_log:
        back = ["-blockdev", _recorded(drive, drive.write_log)]
    else:
        back = ["-drive", f"if=none,id={drive.name},file={value(drive.file)},format={how}{_throttle(drive)}"]
    more = ",bootindex=0" if drive.is_system else ""
    if drive.sector != Drive.sector:
        more += f",logical_block_size={drive.sector},physical_block_size={drive.sector}"
    return [*back, "-device", f"virtio-blk-pci,drive={drive.name},serial={drive.serial}{more}"]


def _throttle(drive: Drive) -> str:
    if drive.most is None:
        return ""
    operations, size = drive.most
    return f",throttling.iops-total={operations},throttling.bps-total={size}"


def _recorded(drive: Drive, log: Path) -> str:
    """A qcow2 disk, with every write and flush in `log` too, in the format of Linux's dm-log-writes."""
    below = f"file.driver=qcow2,file.discard=unmap,file.file.driver=file,file.file.filename={value(drive.file)}"
    return f"driver=blklogwrites,node-name={drive.name},{below},log.driver=file,log.filename={value(log)}"


def _nic(nic: Nic, number: int) -> list[str]:
    net = f"{nic.name}net"
    match nic.net:
        case WayOut(forwards, services, options):
            ports = "".join(f",hostfwd=tcp:{LOOPBACK}:{f.host}-:{f.guest}" for f in forwards)
            # QEMU splits the command into words as a shell does
            ports += "".join(f",guestfwd=tcp:{s.address}:80-cmd:{value(shlex.join(s.command))}" for s in services)
            back = f"user,id={net},{options}{ports}"
        case SwitchPort(folder):
            back = f"vde,id={net},sock={value(folder)}"
        case never:
            assert_never(never)
    args = ["-netdev", back]
    if nic.is_far:  # a hub of QEMU's: what is unplugged at its far port, the card does not see
        args += ["-netdev", f"hubport,id={nic.plug},hubid={number},netdev={net}"]
        net = f"{nic.name}near"
        args += ["-netdev", f"hubport,id={net},hubid={number}"]
    return [*args, "-device", f"virtio-net-pci,id={nic.name},netdev={net},mac={nic.mac},romfile="]


def value(text: Path | str) -> str:
    """A value inside a QEMU option: commas are doubled."""
    return str(text).replace(",", ",,")
