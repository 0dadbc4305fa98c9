"""What `orlop config simulate` says of a configuration, held beside a machine that has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orlop.lab.machine import Node
from orlop.provision.translate import translate
from orlop.simulate.machine import SimulatedMachine
from orlop.simulate.run import Config, prepare, simulate
from orlop.simulate.snapshot import PathKind, RootEntry
from orlop.simulate.units import PRESET
from orlop.steps import Steps
from orlop.workspace import Workspace

TOPS = ("etc", "home")
# what containers are told on a computer that hands out no cgroup controllers
WITHOUT_LIMITS = frozenset(
    f"/etc/containers/{path}"
    for folder in ("containers.conf.d", "systemd/container.d")
    for path in (folder, f"{folder}/10-orlop-lab.conf")
)
LETTERS = {PathKind.FILE: "f", PathKind.FOLDER: "d", PathKind.LINK: "l"}
# its own identity, and what the lab's network needs
OF_THE_MACHINE = frozenset({"/etc/machine-id", "/etc/hosts", "/etc/systemd/network/10-orlop-lab.network"})


def simulated(ws: Workspace, image: Path, butane: str) -> SimulatedMachine:
    """The machine that the image becomes with this configuration."""
    result = translate(butane.encode())
    assert result.ignition is not None, result.report.entries
    outcome = simulate(ws, prepare(ws, Steps(), image.name), Config("node.bu", result.ignition, result.root))
    assert outcome.machine is not None, outcome.log
    return outcome.machine


def is_as_simulated(
    node: Node, machine: SimulatedMachine, own: frozenset[str] = frozenset(), *, tops: Sequence[str] = TOPS
) -> None:
    """Every path with its kind, mode, owner and target, and every byte of every file. `own`: paths that this machine
    has from its lab besides; `tops`: the folders of / that are compared.
    """
    own = OF_THE_MACHINE | own
    listing = node.sh(f"cd / && find {' '.join(tops)} -xdev -printf '%p|%y|%m|%U|%G|%l\\n' 2>/dev/null || :")
    sums = node.sh(f"cd / && find {' '.join(tops)} -xdev -type f -exec sha256sum {{}} + 2>/dev/null || :")
    there = {f"/{line.partition('|')[0]}": line.partition("|")[2] for line in listing.splitlines()}
    digests = {f"/{line[66:]}": line[:64] for line in sums.splitlines()}
    wanted = {p: e for p, e in machine.root.items() if p.split("/")[1] in tops}
    # as differences, of which there is to be none: the whole of both is thousands of lines
    found = {(p, v) for p, v in there.items() if p not in own}
    differs = found ^ {(p, _line(e)) for p, e in wanted.items()}
    assert not differs, sorted(differs)
    digests.pop(PRESET, None)  # Ignition orders its lines as chance has it
    bytes_of = {(path, entry.digest) for path, entry in wanted.items() if path in digests}
    differs = {(p, d) for p, d in digests.items() if p not in own} ^ bytes_of
    assert not differs, sorted(differs)


def _line(entry: RootEntry) -> str:
    return f"{LETTERS[entry.kind]}|{entry.mode:o}|{entry.uid}|{entry.gid}|{entry.target}"
