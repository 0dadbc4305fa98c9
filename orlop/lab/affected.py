"""What of a working tree can be pushed to a running machine, and what a push has to restart there. Pure.

Everything is named by its path in the repository. Two kinds of files can be pushed: the modules of the node's programs
(`orlop/…`) and what os/mkosi.extra has in /usr. All others count when an image is built (what is in the initrd, in
/etc, or made of several files) or when a machine boots, and a boot forgets what was pushed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

GONE = "gone"  # the digest of a file that is not there any more
USR = "os/mkosi.extra/usr/"
UNITS = USR + "lib/systemd/system/"
HEALTH = "orlop-health.service"
_NOT_PUSHED = (
    "orlop/image/",  # builds images
    *(USR + "lib/repart.d/", USR + "lib/modules-load.d/"),  # read in the initrd
    *(USR + "lib/sysusers.d/", USR + "lib/tmpfiles.d/"),  # read once a boot, and /etc is sealed afterwards
    USR + "lib/systemd/system-preset/",  # read when an image is built
    USR + "lib/systemd/system.conf.d/",  # read by systemd when it starts
)
# services of systemd's that read files of ours; what they do again is to read
_READERS = {
    USR + "lib/sysctl.d/": "systemd-sysctl.service",
    USR + "lib/systemd/network/": "systemd-networkd.service",
    USR + "lib/systemd/resolved.conf.d/": "systemd-resolved.service",
    USR + "lib/systemd/journald.conf.d/": "systemd-journald.service",
}
_RESTARTED = (".service", ".socket", ".path", ".timer")
_PROGRAM = re.compile(r"-m\s+(orlop(?:\.\w+)*)")
_ONESHOT, _STOPS = re.compile(r"^Type=oneshot$", re.MULTILINE), re.compile(r"^ExecStop=", re.MULTILINE)


@dataclass(frozen=True)
class Effects:
    """`restart`: units of ours; `reread`: services of systemd's; `left`: units of ours that are affected and are not
    run again; `units`: whether systemd has to read its units anew.
    """

    restart: tuple[str, ...] = ()
    reread: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    units: bool = False


def differences(tree: Mapping[str, str], image: Mapping[str, str]) -> dict[str, str]:
    """Path → digest of every file of `tree` that `image` has not or has otherwise; GONE for what only `image` has."""
    return {p: tree.get(p, GONE) for p in sorted({*tree, *image}) if tree.get(p) != image.get(p)}


def can_be_pushed(path: str) -> bool:
    return path.startswith(("orlop/", USR)) and not path.startswith(_NOT_PUSHED)


def effects(changed: Collection[str], texts: Mapping[str, str], reach: Callable[[str], Collection[str]]) -> Effects:
    """What files that are changed since the machine got its own have to do with its units.

    `texts`: the files below USR; `reach`: from the name of a program (`python -m`) to the files of its modules.
    """
    restart: list[str] = []
    left: list[str] = []
    for name in sorted(_units(texts)):
        dropins = f"{UNITS}{name}.d/"  # one that is gone has no text
        if not _uses(name, texts, reach).isdisjoint(changed) or any(p.startswith(dropins) for p in changed):
            text = texts[UNITS + name]
            # it marks the beginning and the end of something, of the boot for example: stopping it says it is over
            is_bracket = _ONESHOT.search(text) and _STOPS.search(text)
            (left if is_bracket else restart).append(name)
    reread = sorted({unit for prefix, unit in _READERS.items() if any(p.startswith(prefix) for p in changed)})
    if HEALTH in restart:  # it judges the others, so it comes when they are back
        restart = [*(name for name in restart if name != HEALTH), HEALTH]
    return Effects(tuple(restart), tuple(reread), tuple(left), any(p.startswith(UNITS) for p in changed))


def _units(texts: Mapping[str, str]) -> list[str]:
    names = (path.removeprefix(UNITS) for path in texts if path.startswith(UNITS))
    return [name for name in names if "/" not in name and name.endswith(_RESTARTED)]


def _uses(unit: str, texts: Mapping[str, str], reach: Callable[[str], Collection[str]]) -> set[str]:
    """The files that a unit is made of and those it runs: what their texts name, and so on; our modules included."""
    todo = [path for path in texts if path == UNITS + unit or path.startswith(f"{UNITS}{unit}.d/")]
    modules: set[str] = set()
    while todo:
        path = todo.pop()
        if path in modules:
            continue
        modules.add(path)
        todo += [other for other in texts if _names(texts[path], other)]
        for program in _PROGRAM.findall(texts[path]):
            modules.update(reach(program))
    return modules


def _names(text: str, path: str) -> bool:
    on_machine = "/usr/" + path.removeprefix(USR)
    return on_machine in text and bool(re.search(re.escape(on_machine) + r"(?![\w./-])", text))


def unseen(modules: Collection[str], used: Collection[str]) -> list[str]:
    """Of changed modules those that no program of a running system uses: a boot does, in the initrd."""
    return sorted(path for path in modules if path.startswith("orlop/") and path not in used)
