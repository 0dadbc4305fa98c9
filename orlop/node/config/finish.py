"""After Ignition's files stage: what PID 1 would do at a first boot, and no trace of when this was done.

Ignition says which units are enabled by a preset file, which systemd applies only to a machine that has never booted;
this one has, so it is applied here. The same goes for users and files that the configuration gives as sysusers.d and
tmpfiles.d, because /etc is read-only from now on. Then what differs from boot to boot is taken out of /etc.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from orlop.node.config.failure import Failure, StageFailed

PRESET = Path("etc/systemd/system-preset/20-ignition.preset")
RESULT = Path("etc/.ignition-result.json")
_BACKUPS = ("passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-", ".pwd.lock")
_UNIT_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "usr/local/lib/systemd/system")


@dataclass(frozen=True)
class Preset:
    """`enable` and `disable`: unit names, in the order of the file."""

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()


def parse_preset(text: str) -> Preset:
    """Read what Ignition writes: `enable UNIT`, `enable TEMPLATE@.service INSTANCE…`, `disable UNIT`."""
    enable: list[str] = []
    disable: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["enable", template, *instances] if instances:
                stem, _, suffix = template.rpartition("@")
                enable += [f"{stem}@{instance}{suffix}" for instance in instances]
            case ["enable", unit]:
                enable.append(unit)
            case ["disable", unit, *_]:
                disable.append(unit)
            case _:
                pass
    return Preset(tuple(dict.fromkeys(enable)), tuple(dict.fromkeys(disable)))


def is_there(root: Path, unit: str) -> bool:
    stem, at, rest = unit.partition("@")
    names = (unit, f"{stem}@.{rest.rpartition('.')[2]}") if at else (unit,)
    return any((root / folder / name).exists() for folder in _UNIT_FOLDERS for name in names)


def units(root: Path) -> list[str]:
    """Enable and disable what the configuration says. Returns notes on units that are not there. Raises StageFailed."""
    path = root / PRESET
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in sorted(lines)))  # Ignition's order is another at each run
    preset = parse_preset(path.read_text())
    there = [unit for unit in (*preset.enable, *preset.disable) if is_there(root, unit)]
    if there:
        done = subprocess.run(
            ["systemctl", f"--root={root}", "--no-reload", "preset", *there],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise StageFailed(Failure("units", " ".join(done.stderr.split()) or "systemctl preset failed"))
    return [f"the unit {unit} is to be enabled, but does not exist" for unit in preset.enable if unit not in there]


def users_and_files(root: Path) -> None:
    """Apply sysusers.d and the /etc part of tmpfiles.d. Raises StageFailed."""
    if _has_entries(root / "etc/sysusers.d"):
        _system("sysusers", "systemd-sysusers", f"--root={root}")
    _system("tmpfiles", "systemd-tmpfiles", f"--root={root}", "--create", "--boot", "--prefix=/etc")


def _has_entries(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _system(stage: str, *argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    if done.stderr:
        print(done.stderr, end="", flush=True)
    if done.returncode not in (0, 73):  # 73, EX_CANTCREAT: a line that could not be applied, as at any boot
        raise StageFailed(Failure(stage, " ".join(done.stderr.split()) or f"{argv[0]} ended with {done.returncode}"))


def clean(root: Path, to: Path) -> None:
    """Take what is about this one boot out of /etc: Ignition's result goes to the folder `to`, back-up copies go."""
    result = root / RESULT
    if result.exists():
        (to / "ignition-result.json").write_bytes(result.read_bytes())
        result.unlink()
    for name in _BACKUPS:
        (root / "etc" / name).unlink(missing_ok=True)
