from __future__ import annotations

import pytest

from orlop.model.cluster.sizing import answer, refusal


@pytest.mark.parametrize("size", [-1, 0, 2, 4, 6, 7])
def test_even_and_strange_numbers_are_refused(size: int) -> None:
    refused = refusal(size)
    assert refused is not None
    assert refused.message == f"a store has 1, 3 or 5 members, not {size}"


@pytest.mark.parametrize(
    ("size", "voters", "waiting", "said"),
    [
        (3, 3, 1, "the store has 3 members, as it is to have"),
        (
            1,
            3,
            0,
            "the store is to have 1 member, and has 3: 2 will go, one at a time. Their servers wait for a place then",
        ),
        (3, 1, 0, "the store is to have 3 members, and has 1: 0 that wait will join; start 2 more servers"),
        (5, 3, 1, "the store is to have 5 members, and has 3: 1 that wait will join; start 1 more server"),
        (5, 3, 3, "the store is to have 5 members, and has 3: 2 that wait will join, one at a time"),
    ],
)
def test_what_will_happen_is_said(size: int, voters: int, waiting: int, said: str) -> None:
    assert refusal(size) is None
    assert answer(size, voters, waiting) == said
