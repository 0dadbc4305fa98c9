"""How far a piece of writing is, and how it is left before its end.

What takes long on a slot (filling, verifying) is a generator that yields after every piece. Whoever drives it may stop
between two pieces, by closing it: what is written stays, what is open is closed, and it is gone on with later. Nothing
that is driven asks who waits, and nothing is interrupted from inside.

Invariant: `Progress` is a value; who was given one keeps what it said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Moved:
    """So many bytes more are in their place: they were on this disk already, or they were fetched. `looked`: so many
    were read, to know what they are.
    """

    reused: int = 0
    fetched: int = 0
    looked: int = 0


@dataclass(frozen=True)
class Progress:
    """How far the writing is, in bytes of the whole payload; `step` names what is being done.

    `done` can pass `total` a little: some blocks that are here are fetched with their neighbours, to ask less often.
    `received` is what came over the network since the writing was begun or gone on with. Steps that only read have
    `looked` at so many of `to_look` bytes.
    """

    step: str = ""
    total: int = 0
    done: int = 0
    fetched: int = 0
    reused: int = 0
    received: int = 0
    looked: int = 0
    to_look: int = 0

    def looking(self, step: str, to_look: int) -> Progress:
        return replace(self, step=step, looked=0, to_look=to_look)

    def after(self, moved: Moved, received: int) -> Progress:
        if moved.looked:
            return replace(self, looked=self.looked + moved.looked)
        return replace(
            self,
            step="fetching",
            done=self.done + moved.reused + moved.fetched,
            fetched=self.fetched + moved.fetched,
            reused=self.reused + moved.reused,
            received=received,
        )


def finish(work: Iterator[object]) -> None:
    """Drive it to its end, whoever waits."""
    for _ in work:
        pass
