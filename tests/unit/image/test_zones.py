from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.image import zones
from orlop.model.settings.zones import ZONES


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (*ZONES, "Factory", "localtime"):
        place = tmp_path / zones.FOLDER / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"TZif2")
    (tmp_path / zones.FOLDER / "zone1970.tab").write_text("# a table")
    return tmp_path


def test_an_image_with_every_zone_is_well(tree: Path) -> None:
    zones.check(tree)
    assert zones.there(tree) == ZONES


def test_a_zone_that_the_image_lacks_stops_the_build(tree: Path) -> None:
    (tree / zones.FOLDER / "Europe/Berlin").unlink()
    (tree / zones.FOLDER / "Asia/Tokyo").write_bytes(b"")
    with pytest.raises(BadInput, match="lacks 2 time zones that a configuration may name: Asia/Tokyo, Europe/Berlin"):
        zones.check(tree)
