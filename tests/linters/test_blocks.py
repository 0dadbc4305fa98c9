"""Every block of commands in README and the guides is run by a test, or says why it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import GUIDES, ROOT, Block, blocks

KINDS = ("", "yaml", "text", "json")
ALL = [block for page in GUIDES for block in blocks(page)]


def test_every_fence_is_read() -> None:
    for page in GUIDES:
        fences = [line for line in page.read_text().splitlines() if line.startswith("```")]
        assert len(fences) == 2 * len(blocks(page)), page


@pytest.mark.parametrize("block", ALL, ids=lambda block: block.name)
def test_a_block_says_who_runs_it_or_why_nobody_does(block: Block) -> None:
    assert block.kind in KINDS, f"{block.name}: write ```text for what is shown"
    if block.is_to_run:
        assert block.by or block.why, f"{block.name}: say who runs it, or why nobody does: tests/pages.py"
        assert len(block.why) != 1 and not (block.by and block.why)


@pytest.mark.parametrize("runner", sorted({name for block in ALL for name in block.by}))
def test_who_runs_them_takes_them_from_the_pages(runner: str) -> None:
    path = ROOT / runner
    assert path.is_file(), f"there is no {runner}"
    assert "from tests.pages import" in path.read_text() or "from tests import pages" in path.read_text()
    assert Path(runner).name.startswith("test_")
