"""A new repository in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.publisher import Publisher


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path)
    made.create()
    return made
