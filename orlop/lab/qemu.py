"""One machine as a QEMU command line. Pure.

q35 with UEFI, virtio for everything, no display: a cloud machine, with a watchdog as servers have. QEMU makes itself a
daemon once the machine exists, so starting it needs no polling: when the command ends well, its sockets and its pid
file are there.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path

from orlop.lab.nodeconfig import CREDENTIAL, PRIVATE_NETWORK
from orlop.lab.paths import NodePaths
from orlop.lab.ports import LOOPBACK, Forward
from orlop.lab.source import METADATA_NET, METADATA_NIC, Source, arguments, credentials, metadata_net, outside, value

PROGRAM = "qemu-system-x86_64"
FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")  # inside the SDK
FIRMWARE_VARS = Path("usr/share/OVMF/OVMF_VARS_4M.fd")  # below the SDK
LISTEN = "server=on,wait=off"
NICS = ("nic0", "nic1")
DISK_FORMAT = "qcow2,discard=unmap,detect-zeroes=unmap"
SYSTEM_DISK = "orlop-system,bootindex=0"
MEDIA_SERIAL = "orlop-media"

# TCG shows nearly every instruction it knows: container images may be built for any. Left out is what a kernel uses
# because it is quick on hardware, and which is slow here: `rep movsb` for clearing pages (erms, fsrm), a fifth level of
# page tables (la57), nested virtualisation (svm). A boot takes a fifth less processor time without them.
ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,-erms,-fsrm,-la57,-svm"),
}


@dataclass(frozen=True)
class Machine:
    """Everything QEMU is told. `root`: the folder our package is in. `switch`, `media`, `source` and `write_log` may be
    None: no private network, no second disk, no configuration of the user's, no record of the disk's writes.
    """

    lab: str
    name: str
    index: int
    cpus: int
    memory_mib: int
    accelerator: str
    paths: NodePaths
    ssh_port: int
    root: Path
    forwards: tuple[Forward, ...] = ()
    switch: Path | None = None
    media: Path | None = None
    source: Source | None = None
    data_disks: int = 0
    write_log: Path | None = None


def mac(lab: str, index: int, nic: int) -> str:
    """A locally administered address: the same for a node of the same name, different between labs."""
    h = hashlib.sha256(lab.encode()).digest()
    return f"52:54:{nic:02x}:{h[0]:02x}:{h[1]:02x}:{index:02x}"


def private_ip(index: int) -> str:
    return f"{PRIVATE_NETWORK}.{10 + index}"


def command(m: Machine) -> list[str]:
    """The argument list, the program included."""
    p = m.paths
    return [
        PROGRAM,
        *("-name", f"{m.lab}/{m.name}", "-uuid", str(uuid.uuid5(uuid.NAMESPACE_URL, f"orlop:{p.folder}"))),
        *("-machine", "q35,vmport=off", *ACCELERATORS[m.accelerator]),
        *("-smp", str(m.cpus), "-m", str(m.memory_mib)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-boot", "strict=on"),
        *("-daemonize", "-pidfile", str(p.pid), "-D", str(p.qemu_log)),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={value(p.vars)}"),
        *(_recorded(p.disk, m.write_log) if m.write_log else _disk("disk", p.disk, DISK_FORMAT, SYSTEM_DISK)),
        *(
            word
            for n in range(1, m.data_disks + 1)
            for word in _disk(f"data{n}", p.data_disk(n), DISK_FORMAT, f"data{n}")
        ),
        *(_disk("media", m.media, "raw,readonly=on", MEDIA_SERIAL) if m.media else ()),
        *_network(m),
        *("-device", "virtio-rng-pci"),
        *("-device", "i6300esb", "-action", "watchdog=reset"),
        *("-chardev", f"socket,id=con,path={value(p.console)},{LISTEN},logappend=on,logfile={value(p.console_log)}"),
        *("-serial", "chardev:con"),
        *("-chardev", f"socket,id=qmp,path={value(p.qmp)},{LISTEN}", "-mon", "chardev=qmp,mode=control"),
        *credentials(m.source, p, CREDENTIAL),
        *(arguments(m.source, p) if m.source else ()),
    ]


def _disk(name: str, file: Path, how: str, device: str) -> tuple[str, ...]:
    return (
        *("-drive", f"if=none,id={name},file={value(file)},format={how}"),
        *("-device", f"virtio-blk-pci,drive={name},serial={device}"),
    )


def _recorded(file: Path, log: Path) -> tuple[str, ...]:
    """The system's disk, with every write and flush in `log` too, in the format of Linux's dm-log-writes."""
    below = f"file.driver=qcow2,file.discard=unmap,file.file.driver=file,file.file.filename={value(file)}"
    return (
        *("-blockdev", f"driver=blklogwrites,node-name=disk,{below},log.driver=file,log.filename={value(log)}"),
        *("-device", f"virtio-blk-pci,drive=disk,serial={SYSTEM_DISK}"),
    )


def _network(m: Machine) -> list[str]:
    forwards = (Forward(m.ssh_port, 22), *m.forwards)
    rules = "".join(f",hostfwd=tcp:{LOOPBACK}:{f.host}-:{f.guest}" for f in forwards)
    rules += outside(m.source, m.paths, m.name, m.root)
    args = ["-netdev", f"user,id=net0,ipv6=off{rules}", "-device", _nic(m, 0)]
    if m.switch:
        args += ["-netdev", f"vde,id=net1,sock={value(m.switch)}", "-device", _nic(m, 1)]
    if m.source and m.source.has_service:
        args += ["-netdev", metadata_net(m.source, m.paths, m.name, m.root)]
        args += ["-device", f"virtio-net-pci,id={METADATA_NIC},netdev={METADATA_NET},{_card(m, 2)}"]
    return args


def nics(source: Source | None) -> tuple[str, ...]:
    """The cards of a machine, by QEMU's name for them."""
    return (*NICS, METADATA_NIC) if source and source.has_service else NICS


def _nic(m: Machine, nic: int) -> str:
    return f"virtio-net-pci,id={NICS[nic]},netdev=net{nic},{_card(m, nic)}"


def _card(m: Machine, nic: int) -> str:
    return f"mac={mac(m.lab, m.index, nic)},romfile="
