from __future__ import annotations

from pathlib import Path

import pytest

from orlop.trust.cache import FolderCache


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "new")
    assert cache.read("a.json") is None
    cache.write("roots/1.json", b"1")
    cache.write("roots/1.json", b"2")
    assert cache.read("roots/1.json") == b"2"
    assert cache.read("roots") is None
    assert cache.read("roots/1.json/x") is None


@pytest.mark.parametrize("name", ["", "../x", "/etc/passwd", "a/../../x", "a//b", "a\0", "."])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a valid name in a cache"):
        FolderCache(tmp_path).write(name, b"")
