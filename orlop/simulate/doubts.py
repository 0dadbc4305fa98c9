"""What a machine takes and does not do: programs, units and users that are not there, switches that turn nothing.

Ignition is content with all of this, and so is the first look at a config, which knows no image. Each doubt is about an
entry of the config, which is told with its line, and names the units that it keeps from running: a machine's verdict
will not be good then, or nobody will ever hear of them. What may come into being while the machine runs, as a program
in /var, is not doubted. Pure; systemd's and podman's own words are part of the machine (`ProgramOutput`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from orlop.model.disk import names as disks
from orlop.simulate import verified
from orlop.simulate.accounts import groups, users
from orlop.simulate.changes import ChangeKind
from orlop.simulate.machine import SimulatedMachine
from orlop.simulate.snapshot import PathKind, RootEntry, find
from orlop.simulate.unitfiles import UnitFiles, template
from orlop.simulate.units import QUADLETS, SYSTEM, Unit, preset
from orlop.simulate.verified import FindingKind

# what is as it is from a boot's beginning to its end; anything else may be made by somebody
SEALED = ("/usr/", "/etc/", "/bin/", "/sbin/", "/lib/", "/lib64/")
PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
# started by each boot: by systemd itself, by orlop-late.service, by orlop-health.service
STARTED = ("default.target", "sysinit.target", "basic.target", "orlop-late.target", "boot-complete.target")
# reached by something that happens later: the end of the machine, a device that is plugged in, a person
LATER = frozenset(
    f"{name}.target"
    for name in (
        "shutdown reboot poweroff halt kexec soft-reboot final umount exit ctrl-alt-del sigpwr rescue emergency sleep "
        "suspend hibernate hybrid-sleep suspend-then-hibernate bluetooth printer smartcard sound usb-gadget "
        "factory-reset system-update"
    ).split()
)
_STARTING = ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost")
NO_PROGRAM = "no program can be installed on the machine: run it in a container"
NO_UNIT = "write the unit, or mend its name"


@dataclass(frozen=True)
class Doubt:
    """`about`: (kind of entry, its name) in the config, the likeliest first; `stops`: units that do not run for it."""

    about: tuple[tuple[str, str], ...]
    text: str
    hint: str
    stops: tuple[str, ...] = ()


def doubts(machine: SimulatedMachine) -> list[Doubt]:
    """All of them, each once."""
    look = _Look(machine)
    found = [
        *look.switches(), *look.shells(), *look.said(), *look.quadlets(), *look.interpreters(), *look.accounts(),
        *look.wanted(), *look.activated(), *look.dropins(),
    ]  # fmt: skip
    return list(dict.fromkeys(found))


def of_disks(machine: SimulatedMachine) -> list[Doubt]:
    """The disk that the system itself is on, on most machines. A config that is Butane was checked for it before."""
    return [
        Doubt(
            (),
            f"{device} is the disk that most machines boot from, and the boot refuses it there",
            "name the disk by its serial number: /dev/disk/by-id/…",
        )
        for device in machine.plan.devices
        if disks.may_be_system(device)
    ]


@dataclass(frozen=True)
class _Look:
    machine: SimulatedMachine

    @cached_property
    def there(self) -> UnitFiles:
        return UnitFiles(self.machine.files)

    @cached_property
    def units(self) -> dict[str, Unit]:
        return {unit.name: unit for unit in self.machine.units}

    def switches(self) -> Iterator[Doubt]:
        """Units that are to be enabled or disabled, which nothing or something else does."""
        for unit in self.machine.units:
            if unit.state == "missing":
                yield self._of(unit.name, f"there is no unit {unit.name} to enable", NO_UNIT, stops=True)
        for verb, name in preset(self.machine.files):
            switched = self.units.get(name)
            if switched is None or not switched.made_from:
                continue
            if verb == "enable" and switched.state == "generated":
                text = f"{name} is made of {switched.made_from} at boot, and `enabled: true` does not start it"
                yield self._of(name, text, f"give {switched.made_from} an [Install] section with WantedBy=", stops=True)
            elif verb == "disable" and switched.state == "enabled":
                text = f"{name} is made of {switched.made_from} at boot, and `enabled: false` does not stop that"
                yield self._of(name, text, f"take [Install] out of {switched.made_from}, or write `mask: true`")

    def shells(self) -> Iterator[Doubt]:
        for before, after in self.machine.users.values():
            shell = after.shell if after else ""
            if after and shell and (before is None or before.shell != shell) and not self._has(shell):
                text = f"the shell {shell} of {after.name} is not in the image"
                yield Doubt((("passwd_user", after.name),), text, "write `shell: /bin/sh`")

    def said(self) -> Iterator[Doubt]:
        """What systemd says of them."""
        for finding in verified.findings(self.machine.said.verify):
            if finding.unit in self.units and (doubt := self._finding(finding)):
                yield doubt

    def _finding(self, finding: verified.UnitFinding) -> Doubt | None:
        unit, what = finding.unit, finding.what
        match finding.kind:
            case FindingKind.ABSENT:
                return self._absent(unit, what)
            case FindingKind.MAY_NOT:
                text = f"{unit} runs {what}, which may not be executed"
                return self._of(unit, text, "give that file `mode: 0755`", stops=self._starts_with(unit, what))
            case FindingKind.NEEDS:
                hint = "write that unit, take Requires= out, or say Wants=, with which this one starts all the same"
                return self._of(unit, f"{unit} needs {what}, which does not exist", hint, stops=True)
            case FindingKind.MASKED:
                return self._of(
                    unit, f"{unit} needs {what}, which is masked", "take the mask or Requires= out", stops=True
                )
            case FindingKind.REFUSED:
                return self._of(unit, f"systemd does not take {unit}: {what}", "see systemd.unit(5)", stops=True)
            case FindingKind.IGNORED:
                return self._of(unit, f"{unit}, {what}; systemd passes it over", "see systemd.directives(7)")
            case FindingKind.OTHER:
                return self._of(unit, f"systemd says of {unit}: {what}", "see systemd.unit(5)")

    def _absent(self, unit: str, program: str) -> Doubt | None:
        stops = self._starts_with(unit, program)
        if "/" not in program or program.startswith(("/usr/", "/bin/", "/sbin/")):
            return self._of(unit, f"{unit} runs {program}, which is not in the image", NO_PROGRAM, stops=stops)
        if program.startswith(SEALED):
            return self._of(unit, f"{unit} runs {program}, which is not there", "write that file", stops=stops)
        return None

    def _starts_with(self, unit: str, program: str) -> bool:
        """Whether the unit does not come up without the program: not so for what is run when it ends."""
        return program in map(_program, self.there.values(unit, *_STARTING))

    def quadlets(self) -> Iterator[Doubt]:
        for file, why in verified.not_understood(self.machine.said.quadlet).items():
            about = (("file", QUADLETS + file),)
            name, _, kind = file.rpartition(".")
            stops = f"{name}{'' if kind in ('container', 'kube') else '-' + kind}.service"
            hint = "see podman-systemd.unit(5), of the podman that the image has"
            yield Doubt(about, f"podman makes no unit of {file}: {why}", hint, (stops,))

    def interpreters(self) -> Iterator[Doubt]:
        """`#!` of the config's programs."""
        for change in self.machine.changes:
            entry = change.entry
            line = (entry.text or "").partition("\n")[0]
            if change.how is ChangeKind.REMOVED or not entry.mode & 0o111 or not line.startswith("#!"):
                continue
            program = _interpreter(line[2:])
            if program and not self._has(program) and (not program.startswith("/") or program.startswith(SEALED)):
                text = f"{entry.path} is a program for {program}, which is not in the image"
                yield Doubt((("file", entry.path),), text, "write it for /bin/sh, or run it in a container",
                            self._run_by(entry))  # fmt: skip

    def _run_by(self, entry: RootEntry) -> tuple[str, ...]:
        return tuple(name for name in self.units if self._starts_with(name, entry.path))

    def accounts(self) -> Iterator[Doubt]:
        """User= and Group= of units."""
        for name in self.units:
            if self.there.values(name, "DynamicUser")[-1:] in (["yes"], ["true"], ["1"], ["on"]):
                continue
            for key, known in (("User", users), ("Group", groups)):
                for who in self.there.values(name, key)[-1:]:
                    if not who.isdigit() and "%" not in who and who not in known(self.machine.root):
                        text = f"{name} runs as the {key.lower()} {who}, which does not exist"
                        yield self._of(name, text, f"add the {key.lower()} under `passwd`", stops=True)

    def wanted(self) -> Iterator[Doubt]:
        """Units that are enabled by what no boot starts."""
        reached = self.there.reached(*STARTED)
        for unit in self.machine.units:
            by = {
                posixpath.basename(posixpath.dirname(p)).rpartition(".")[0]
                for p in unit.links
                if "." in posixpath.dirname(p)
            }
            by = {self.there.named(name) for name in by}
            if unit.state != "enabled" or not by or by & (reached | LATER) or unit.name in reached:
                continue
            gone = [name for name in sorted(by) if not self.there.has(name)]
            text = f"{unit.name} is started by {', '.join(gone or sorted(by))}, which " + (
                "does not exist" if gone else "no boot of this image reaches"
            )
            yield self._of(unit.name, text, "write `WantedBy=multi-user.target`", stops=True)

    def activated(self) -> Iterator[Doubt]:
        """What timers and paths start; of sockets systemd says it."""
        for name in self.units:
            stem, _, suffix = name.rpartition(".")
            if suffix not in ("timer", "path") or not self.there.has(name):
                continue
            started = (self.there.values(name, "Unit") or [f"{stem}.service"])[-1]
            if "%" not in started and not self.there.has(started):
                yield self._of(name, f"{name} starts {started}, which does not exist", NO_UNIT, stops=True)

    def dropins(self) -> Iterator[Doubt]:
        for unit in self.machine.units:
            if unit.dropins and unit.state != "missing" and not self.there.has(unit.name):
                yield self._of(unit.name, f"there is no unit {unit.name} to change", NO_UNIT)

    def _has(self, program: str) -> bool:
        """Whether it can be run when the machine has started: a path, or a name to be looked for."""
        paths = [program] if "/" in program else [f"{folder}/{program}" for folder in PATH]
        return any((entry := find(self.machine.files, p)) and entry.kind is PathKind.FILE for p in paths)

    def _of(self, unit: str, text: str, hint: str, *, stops: bool = False) -> Doubt:
        """About a unit: its entry, or the file that it is."""
        about = [("unit", unit), ("unit", template(unit)), ("file", SYSTEM + unit), ("file", SYSTEM + template(unit))]
        if (known := self.units.get(unit)) and known.made_from:
            about.append(("file", QUADLETS + known.made_from))
        return Doubt(tuple(about), text, hint, (unit,) if stops else ())


def _program(value: str) -> str:
    """The program of a value of ExecStart=, without the signs before it. Source: systemd.service(5)."""
    word = value.lstrip("@-:+!|")
    if word[:1] in ("'", '"'):
        return word[1:].partition(word[0])[0]
    return (word.split() or [""])[0]


def _interpreter(line: str) -> str:
    """The program that reads a script: of `/usr/bin/env -S python3 -u` it is python3."""
    words = line.split()
    if words and posixpath.basename(words[0]) == "env":
        words = [word for word in words[1:] if not re.match(r"-|\w+=", word)] or words
    return words[0] if words else ""
