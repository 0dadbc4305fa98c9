"""The guide's examples are right: each is translated, without a single finding."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orlop.provision.local import LocalNode, NodeKind
from orlop.provision.report import render
from orlop.provision.translate import translate
from tests.unit.provision.test_settings import KEY
from tests.unit.provision.texts import Memory

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "config.md"
FILES = Memory(
    {"motd": b"hello\n", "our-releases.pem": KEY.encode()},
    {
        "web": [
            LocalNode("index.html", NodeKind.FILE, b"<p>hello"),
            LocalNode("start", NodeKind.LINK, target="index.html"),
        ]
    },
)
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("text", EXAMPLES)
def test_example(text: str) -> None:
    result = translate(text.encode(), FILES, strict=True)
    assert render(result.report, result.text, "guide") == ""
    assert result.ignition is not None


def test_the_error_that_is_shown() -> None:
    text = "variant: orlop\nversion: 1.0.0\nstorage:\n  files:\n    - path: etc/motd\n"
    result = translate(text.encode())
    assert render(result.report, result.text, "node.bu") in GUIDE.read_text()
