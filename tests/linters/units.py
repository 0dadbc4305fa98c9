"""A root with all the units of a machine, or of its initrd, for `systemd-analyze verify` to read: ours over systemd's.

systemd's units are the SDK's, which is the same release of Debian as the image. A root is made in a temporary folder,
enabled by our own preset, and so verifies as one boot: default.target and all that it starts.

What this cannot see:
- Programs. Those in this repository are there. Of the others only the names are known before an image is built
  (os/prune/executables.list, os/initrd/files.list), and an empty executable file stands for each. Verify looks in the
  wrong place for what a unit with a root or a /usr of its own starts, so that is taken for there. The build looks
  again, at what it has made (`orlop.image.prune.broken_units`), but not into a root of a unit's own: a boot shows that.
- Units of packages that the SDK does not have (ssh, podman): an empty service stands for each that ours name or drop
  something into, so a drop-in's keys are checked, and not what they do to that unit.
- What generators make at a boot: from the kernel's command line (sysroot.mount), from Quadlet files.
- Values that only the running manager judges: whether a user is there, a device group, a credential.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from orlop.image.initrd import parse_list
from orlop.image.prune import IMAGE_USR
from orlop.image.runtime import PLACE, PYTHON
from orlop.sdk.run import in_sdk
from orlop.workspace import Workspace

UNITS = "usr/lib/systemd/system"
SUFFIXES = (".service", ".socket", ".path", ".target", ".mount", ".automount", ".timer", ".slice")
NO_PACKAGE_HERE = ("ssh.service", "ssh@.service", "systemd-time-wait-sync.service", "systemd-timesyncd.service")
INITRD_GENERATED = ("sysroot.mount", "sysroot-usr.mount", "sysusr-usr.mount")
INITRD_GENERATED_SERVICES = ("systemd-veritysetup@usr.service",)
STAND_IN = "[Service]\nType=oneshot\nExecStart=/usr/bin/cat\n"
OWN_VIEW = ("RootDirectory=", "RootImage=", IMAGE_USR)
NO_PROGRAM = re.compile(r"(?P<unit>\S+): Command \S+ is not executable: No such file or directory")


def system(ws: Workspace, root: Path) -> None:
    """The booted system, in the empty folder `root`."""
    shutil.copytree(ws.sdk / UNITS, root / UNITS, symlinks=True)
    _lay_over(ws.os_tree / "mkosi.extra", root)
    for name in _words(ws.os_tree / "prune/executables.list"):
        _stand_in(root, f"usr/bin/{name}")
        _stand_in(root, f"usr/sbin/{name}")
    _stand_in(root, f"{PLACE}/{PYTHON}")  # made by the build
    for name in NO_PACKAGE_HERE:
        (root / UNITS / name).write_text(STAND_IN)
    _own_views(root)
    # as mkosi does, for packages' units and ours
    argv = ["systemctl", f"--root={root}", "preset-all"]
    subprocess.run(in_sdk(ws, argv, binds=[root]), check=True, capture_output=True)


def initrd(ws: Workspace, root: Path) -> None:
    """The initrd, in the empty folder `root`."""
    wanted = parse_list((ws.os_tree / "initrd/files.list").read_text())
    for pattern in wanted.paths:
        there = list(ws.sdk.glob(pattern))
        for path in there if pattern.startswith(f"{UNITS}/") else ():
            place = root / path.relative_to(ws.sdk)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place, follow_symlinks=False)
        if not pattern.startswith(f"{UNITS}/") and "*" not in pattern:
            _stand_in(root, pattern)
    _lay_over(ws.os_tree / "initrd/tree", root)
    for name in INITRD_GENERATED:
        (root / UNITS / name).write_text(f"[Mount]\nWhat=x\nWhere=/{name.removesuffix('.mount').replace('-', '/')}\n")
    for name in INITRD_GENERATED_SERVICES:
        (root / UNITS / name).write_text(STAND_IN)
    (root / UNITS / "default.target").symlink_to("initrd.target")
    _own_views(root)


def ours(tree: Path) -> list[str]:
    """The names of the units that a tree of this repository has."""
    return sorted(path.name for path in (tree / UNITS).iterdir() if path.name.endswith(SUFFIXES) and path.is_file())


def dropped_into(tree: Path) -> list[str]:
    """The names of the units, not ours, that it changes."""
    return sorted(path.name.removesuffix(".d") for path in (tree / UNITS).glob("*.d"))


def findings(ws: Workspace, root: Path, mine: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    """What verify says of one boot of `root`, and of each of the units whether that boot starts it or not.

    Of `others`, as of all that the boot starts, it is not told that a program is missing: the build removes such units.
    """
    # a template is verified as an instance of it
    named = [name.replace("@.", "@x.") for name in ("default.target", *mine, *others)]
    # dependencies too: a cycle is told of only where it is met
    argv = [
        "systemd-analyze",
        "verify",
        f"--root={root}",
        "--man=no",
        "--generators=no",
        "--recursive-errors=yes",
        *named,
    ]
    done = subprocess.run(in_sdk(ws, argv, binds=[root]), capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    if done.returncode and not said:
        return [f"systemd-analyze verify: exit status {done.returncode}"]
    return [line for line in said if not ((found := NO_PROGRAM.fullmatch(line)) and found["unit"] not in mine)]


def _lay_over(tree: Path, root: Path) -> None:
    """As the build does: a file of ours takes the place of what is there, be that a link."""
    for path in sorted(tree.rglob("*")):
        place = root / path.relative_to(tree)
        if path.is_dir() and not path.is_symlink():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.unlink(missing_ok=True)
            shutil.copy2(path, place, follow_symlinks=False)


def _words(file: Path) -> Iterator[str]:
    for line in file.read_text().splitlines():
        yield from line.partition("#")[0].split()


def _stand_in(root: Path, program: str) -> None:
    place = root / program
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(0o755)


def _own_views(root: Path) -> None:
    for unit in sorted((root / UNITS).glob("*.service")):
        lines = unit.read_text().splitlines() if unit.exists() else []
        if any(line.startswith(OWN_VIEW) for line in lines):
            for line in lines:
                if line.startswith("ExecStart=/"):
                    _stand_in(root, line.removeprefix("ExecStart=/").split()[0])
