"""Tests that go on from what others before them in their file left: `pytest.mark.follows`.

With names it follows those tests, without any it follows all before it that do not take long. Such a test cannot run
alone: whoever chooses it, by -k or by its name, gets what it follows too, first.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest


def whole(chosen: Sequence[pytest.Item], collected: Sequence[pytest.Item]) -> list[pytest.Item]:
    """`chosen`, with what each follows. `collected`: what pytest found, of which `chosen` was left."""
    known = {item.nodeid: item for item in collected}
    found: dict[str, pytest.Item] = {}
    wanted = {item.nodeid for item in chosen}
    for item in chosen:
        for earlier in _followed(item, known):
            if earlier.nodeid not in wanted:
                found.setdefault(earlier.nodeid, earlier)
        found[item.nodeid] = item
    return list(found.values())


def _followed(item: pytest.Item, known: dict[str, pytest.Item]) -> list[pytest.Item]:
    """The tests that it follows, in the order of its file."""
    mark, module = item.get_closest_marker("follows"), item.getparent(pytest.Module)
    if mark is None or module is None:
        return []
    # a test that is asked for by its name is collected alone: its file knows the others
    tests = [known.get(test.nodeid, test) for test in module.collect() if isinstance(test, pytest.Item)]
    if mark.args:
        return [test for test in tests if getattr(test, "originalname", test.name) in mark.args]
    before = tests[: [test.nodeid for test in tests].index(item.nodeid)]
    return [test for test in before if test.get_closest_marker("long") is None]
