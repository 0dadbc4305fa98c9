"""The guides' configurations are right: each is translated, without a single finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.provision.local import LocalNode, NodeKind
from orlop.provision.report import render
from orlop.provision.translate import translate
from simulators.repository import RepositorySimulator
from tests.pages import Block, of
from tests.unit.provision.texts import Memory

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "config.md"
FILES = Memory(
    {"motd": b"hello\n", "root.json": RepositorySimulator().first_root},
    {
        "web": [
            LocalNode("index.html", NodeKind.FILE, b"<p>hello"),
            LocalNode("start", NodeKind.LINK, target="index.html"),
        ]
    },
)
HEAD = "variant: orlop\nversion: 1.0.0\n"  # of one that shows a part only


@pytest.mark.parametrize("block", of(Path(__file__)), ids=lambda block: block.name)
def test_example(block: Block) -> None:
    text = block.text if "variant:" in block.text else HEAD + block.text
    result = translate(text.encode(), FILES, strict=True)
    assert render(result.report, result.text, "guide") == ""
    assert result.ignition is not None


def test_the_error_that_is_shown() -> None:
    text = "variant: orlop\nversion: 1.0.0\nstorage:\n  files:\n    - path: etc/motd\n"
    result = translate(text.encode())
    assert render(result.report, result.text, "node.bu") in GUIDE.read_text()
