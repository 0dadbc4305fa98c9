"""Ask a lab machine's own `orlop` command, and let its errors come back as they are."""

from __future__ import annotations

from orlop.errors import CommandFailed
from orlop.lab.machine import Node

COMMAND = "/usr/bin/orlop"


def ask(machine: Node, *words: str, good: tuple[int, ...] = (0,)) -> str:
    """What the machine's own command prints. Raises CommandFailed with what it says of its failure."""
    ran = machine.run(COMMAND, *words)
    if ran.code in good:
        return ran.out
    told = dict(line.split(": ", 1) for line in ran.err.splitlines() if line.startswith(("error: ", "hint: ")))
    raise CommandFailed(
        told.get("error", f"orlop {words[0]} on {machine.name} ended with {ran.code}"),
        code=ran.code,
        tail="" if "error" in told else (ran.out + ran.err)[-2000:].strip(),
        hint=told.get("hint", f"`orlop lab logs {machine.name}` shows what the machine is doing"),
    )
