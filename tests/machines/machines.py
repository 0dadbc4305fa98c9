"""What the machine tests share: the lab, what its consoles may hold, and what SELinux may have refused on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from orlop.built import ImageFiles, read_manifest
from orlop.image.selinux import SELinuxMode
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.machines import console
from orlop.model.selinux import denial
from orlop.model.words.version import Version
from orlop.workspace import Workspace
from tests.machines.keeping import made
from tests.machines.saved import settled

LAB = "vmtest"
VERDICT_SECONDS = 600.0


@dataclass
class Machines:
    """The shared lab. `begins`: by node, where its console begins to count, else at its first byte; `excused`: by node,
    stretches of its console where a test caused trouble of these kinds. `attackers`: domains whose refusals are what
    tests are about; of any other there must be none.
    """

    lab: Lab
    begins: Mapping[str, int] = field(default_factory=dict)
    excused: dict[str, list[tuple[int, int, frozenset[str]]]] = field(default_factory=dict)
    attackers: set[str] = field(default_factory=lambda: {"container_t", "spc_t", "admin_t", "sftpd_t"})

    @property
    def n1(self) -> Node:
        return self.lab.node("n1")

    @property
    def n2(self) -> Node:
        return self.lab.node("n2")

    @contextmanager
    def expect(self, node: Node, *kinds: str) -> Iterator[int]:
        """Let the block cause trouble of these kinds on the node's console; gives where the stretch begins."""
        start = node.console_size()
        try:
            yield start
        finally:
            self.excused.setdefault(node.name, []).append((start, node.console_size(), frozenset(kinds)))

    def trouble(self) -> str:
        """What is on the consoles and should not be there, as one text; "" when all is well."""
        return "\n".join(
            f"{node.name}: {problem.kind}: {problem.text}"
            for node in self.lab.nodes
            for text, excused in self._stretches(node)
            for problem in console.failures(text)
            if problem.kind not in excused
        )

    def refused(self) -> str:
        """What SELinux refused to the system on machines that run and enforce it, as one text; "" when nothing."""
        said = []
        for node in self.lab.nodes:
            if node.running and node.run("sh", "-c", "grep -q 1 /sys/fs/selinux/enforce").code == 0:
                found = denial.parse_document(node.run("orlop", "denials", "--json").out, node.name)
                said += [f"{node.name}: {d}" for d in found if d.source not in self.attackers]
        return "\n".join(said)

    def _stretches(self, node: Node) -> Iterator[tuple[str, frozenset[str]]]:
        """The node's console in pieces, each with the kinds of trouble that are excused there."""
        log = node.at.console_log.read_bytes()
        place = self.begins.get(node.name, 0)
        for begin, end, kinds in self.excused.get(node.name, []):
            yield log[place:begin].decode(errors="replace"), frozenset()
            yield log[begin:end].decode(errors="replace"), kinds
            place = end
        yield log[place:].decode(errors="replace"), frozenset()


def enforces(plan: LabPlan) -> bool:
    """Whether the image of the plan has its machines enforce SELinux, by its manifest."""
    if not plan.image.version:
        return False
    folder = plan.image.raw.parent
    there = ImageFiles(folder, Version.parse(plan.image.version)).manifest.exists()
    return there and read_manifest(folder).about.get("selinux") == SELinuxMode.ENFORCING


@contextmanager
def watched(
    ws: Workspace, plan: LabPlan, *, is_booted: bool = True, on: Collection[str] | None = None
) -> Iterator[Machines]:
    """The machines of the plan, healthy. Afterwards their consoles are kept in the logs, and looked through.

    `is_booted`: they boot for this; else they are restored, which is for tests that are not about a first boot, and
    `on` names those that are on (`saved.restored`).
    """
    trouble = ""
    with made(ws, plan, timeout=VERDICT_SECONDS) if is_booted else settled(ws, plan, on=on) as lab:
        there = Machines(lab.lab, lab.consoles)
        try:
            yield there
            trouble = "\n".join(filter(None, (there.trouble(), there.refused() if enforces(plan) else "")))
        finally:
            for node in there.lab.nodes:  # where a person, or CI, finds them
                kept = ws.state / "logs" / f"vm-{plan.name}-{node.name}-console.log"
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(node.at.console_log.read_bytes())
    assert not trouble, f"on the consoles (kept in {ws.state / 'logs'}):\n{trouble}"
