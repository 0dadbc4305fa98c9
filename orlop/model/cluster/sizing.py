"""How many members a store is to have: what is refused, and what is said of a change. Pure."""

from __future__ import annotations

from orlop.errors import BadInput
from orlop.model.cluster.names import SIZES


def refusal(size: int) -> BadInput | None:
    if size in SIZES:
        return None
    hint = "an even number tolerates no more losses than the odd one below it"
    return BadInput(f"a store has {', '.join(map(str, SIZES[:-1]))} or {SIZES[-1]} members, not {size}", hint=hint)


def answer(size: int, voters: int, waiting: int) -> str:
    """`voters`: members that vote now; `waiting`: servers that wait for a place."""
    if size == voters:
        return f"the store has {size} member{'s' * (size > 1)}, as it is to have"
    if size < voters:
        gone = voters - size
        return (
            f"the store is to have {size} member{'s' * (size > 1)}, and has {voters}: {gone} will go, one at a time. "
            f"Their servers wait for a place then"
        )
    more = size - voters - waiting
    said = f"the store is to have {size} members, and has {voters}: {min(waiting, size - voters)} that wait will join"
    return said + (f"; start {more} more server{'s' * (more > 1)}" if more > 0 else ", one at a time")
