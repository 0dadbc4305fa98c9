"""The blocks of the guides: commands, configurations and what is shown; and who runs which.

A fence without a word is for commands, one with `yaml` for a configuration; one with `text` is what somebody sees, or a
file. Directly above a fence stands a comment that says who runs it, or why nobody does:

    <!-- run by tests/machines/test_guides.py -->
    <!-- not run: it needs a real machine -->

tests/linters/test_blocks.py fails for commands and configurations that have neither. Whoever is named takes its blocks
from here (`of`), all of them, so a block with a name on it is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDES = (ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md")))
_FENCE = re.compile(
    r"^(?:<!-- (?:run by (?P<by>[^\n]*?)|not run: (?P<why>[^\n]*?)) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# a transcript is commands too
_TYPED = re.compile(r"^\S*[$] ", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """`by`: the tests that run it; `why`: the reason for which nobody does."""

    page: Path
    line: int
    kind: str
    text: str
    by: tuple[str, ...]
    why: str

    @property
    def is_to_run(self) -> bool:
        return self.kind in ("", "yaml") or bool(_TYPED.search(self.text))

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            found["kind"],
            found["text"],
            tuple((found["by"] or "").split()),
            found["why"] or "",
        )
        for found in _FENCE.finditer(text)
    ]


def of(test: Path, page: Path | None = None) -> list[Block]:
    """The blocks that the file `test` runs, of one page or of all."""
    me = str(test.resolve().relative_to(ROOT))
    return [block for one in ([page] if page else GUIDES) for block in blocks(one) if me in block.by]


def file_of(block: Block) -> str:
    """The name of the file that a block shows: its first line is a comment with nothing else; "" when there is none."""
    found = re.match(r"# ([\w~/.@-]+\.\w+)\n", block.text)
    return found[1] if found else ""
