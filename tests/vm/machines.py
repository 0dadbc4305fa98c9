"""What the machine tests share: the lab, what its consoles may hold, and the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from orlop.errors import Missing
from orlop.lab import console, lab
from orlop.lab.lab import Lab, Plan
from orlop.lab.machine import Node
from orlop.lab.wait import wait_verdicts
from orlop.steps import Steps
from orlop.workspace import Workspace

LAB = "vmtest"
VERDICT_SECONDS = 600.0


@dataclass(frozen=True)
class Registry:
    """`here` as this computer reaches it, `there` as a node does; each host:port."""

    here: str
    there: str


@dataclass
class Machines:
    """The shared lab. `excused`: by node, stretches of its console where a test caused trouble of these kinds."""

    lab: Lab
    excused: dict[str, list[tuple[int, int, frozenset[str]]]] = field(default_factory=dict)

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

    def _stretches(self, node: Node) -> Iterator[tuple[str, frozenset[str]]]:
        """The node's whole console in pieces, each with the kinds of trouble that are excused there."""
        log = node.at.console_log.read_bytes()
        place = 0
        for begin, end, kinds in self.excused.get(node.name, []):
            yield log[place:begin].decode(errors="replace"), frozenset()
            yield log[begin:end].decode(errors="replace"), kinds
            place = end
        yield log[place:].decode(errors="replace"), frozenset()


@contextmanager
def watched(ws: Workspace, plan: Plan) -> Iterator[Machines]:
    """The machines of the plan, healthy. Afterwards their consoles are kept in the logs, and looked through."""
    _clear(ws, plan.name)
    there = Machines(lab.up(ws, Steps(), plan))
    try:
        wait_verdicts(there.lab.nodes, Steps(), timeout=VERDICT_SECONDS)
        yield there
        trouble = there.trouble()
    finally:
        for node in there.lab.nodes:  # where a person, or CI, finds them
            kept = ws.state / "logs" / f"vm-{plan.name}-{node.name}-console.log"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(node.at.console_log.read_bytes())
        _clear(ws, plan.name)
    assert not trouble, f"on the consoles (kept in {ws.state / 'logs'}):\n{trouble}"


def _clear(ws: Workspace, name: str) -> None:
    """A session that was killed may have left its lab."""
    with suppress(Missing):
        lab.down(ws, name)
