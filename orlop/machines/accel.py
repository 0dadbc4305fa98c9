"""KVM only where it really runs a guest.

Why: /dev/kvm is there in many containers and virtual machines whose CPU has no virtualisation; QEMU then aborts, hangs,
or starts and cannot run a stock kernel. So KVM is used when the CPU says that it has it *and* a guest of seven bytes of
code ran to its end. The answer holds until the host boots again and is kept in a file of the caller's.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import CommandFailed, OrlopError
from orlop.files import write_atomic
from orlop.machines.tools import Tools

KVM = Path("/dev/kvm")
PROBE_SECONDS = 20.0
PROBE_CODE = bytes((0xB0, 0x10, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD))  # mov al,0x10; out 0xf4,al; hlt; jmp to the hlt
PROBE_EXIT = (0x10 << 1) | 1  # what QEMU's isa-debug-exit makes of the value

_FLAGS = re.compile(r"^flags\s*:.*\b(vmx|svm)\b", re.MULTILINE)


@dataclass(frozen=True)
class Acceleration:
    """`name` is kvm, tcg, counted (tcg on a clock that counts instructions), or native where no machine is emulated;
    `why` says it to a person.
    """

    name: str
    why: str


def firmware(size: int = 65536) -> bytes:
    """A BIOS that does one thing at the reset vector, 16 bytes below its end: it tells QEMU to exit."""
    return b"\xf4" * (size - 16) + PROBE_CODE.ljust(16, b"\xf4")


def without_probe(cpuinfo: str, device: str) -> Acceleration | None:
    """The decision that /proc/cpuinfo and the state of /dev/kvm ("", "missing", "closed") already make."""
    if not _FLAGS.search(cpuinfo):
        return Acceleration("tcg", "the CPU shows no vmx or svm flag: hardware virtualisation is not offered here")
    if device == "missing":
        return Acceleration("tcg", f"the CPU could, but there is no {KVM}")
    if device == "closed":
        return Acceleration("tcg", f"the CPU could, but this user may not open {KVM}")
    return None


def choose(tools: Tools, record: Path) -> Acceleration:
    """Decide, from the answer in the file `record` when it is of this boot of the host and today's hardware state."""
    cpuinfo = Path("/proc/cpuinfo").read_text(errors="replace")
    device = "missing" if not KVM.exists() else "" if os.access(KVM, os.R_OK | os.W_OK) else "closed"
    if decided := without_probe(cpuinfo, device):
        return decided
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        computer, name, why = record.read_text().splitlines()
        if computer == boot and name in ("kvm", "tcg"):
            return Acceleration(name, why)
    except (FileNotFoundError, ValueError):
        pass
    answer = probe(tools, "kvm")
    write_atomic(record, f"{boot}\n{answer.name}\n{answer.why}\n")
    return answer


def probe(tools: Tools, accelerator: str) -> Acceleration:
    """Run the seven bytes under this accelerator. TCG is the answer when they do not come to their end."""
    with tempfile.TemporaryDirectory(prefix="orlop-probe-", dir="/tmp") as folder:
        bios = Path(folder) / "probe.rom"
        bios.write_bytes(firmware())
        argv = [
            tools.qemu,
            *("-machine", "q35", "-accel", accelerator, "-m", "16", "-nodefaults", "-display", "none", "-vga", "none"),
            *("-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-bios", str(bios)),
        ]
        try:
            tools.run(argv, what=f"probing {accelerator}", timeout=PROBE_SECONDS)
            ended = "ended without a word"
        except CommandFailed as e:
            if e.code == PROBE_EXIT:
                return Acceleration(accelerator, f"a probe guest ran under {accelerator}")
            lines = e.tail.strip().splitlines()
            ended = f"failed: {lines[-1] if lines else f'exit code {e.code}'}"
        except OrlopError as e:
            ended = e.message
    return Acceleration("tcg", f"a probe guest under {accelerator} {ended}")
