"""What differs between two images: packages, in words for a release's notes, and files."""

from __future__ import annotations

import pytest

from orlop.model.contents import files, packages
from orlop.model.contents.contents import Component, File, ImageContents
from orlop.model.words.version import Version

CHANGES = [
    ("1-1", "1-1", None),
    ("", "1-1", "a 1-1 is new"),
    ("1-1", "", "a 1-1 is gone"),
    ("1-1", "1-2", "a 1-1 → 1-2"),
    ("1-1", "1-1+deb13u1", "a 1-1 → 1-1+deb13u1 (stable update)"),
    ("1-1+deb13u1", "1-1+deb13u2", "a 1-1+deb13u1 → 1-1+deb13u2 (stable update)"),
    ("257.8-1~deb13u1", "257.9-1~deb13u1", "a 257.8-1~deb13u1 → 257.9-1~deb13u1"),
    ("257.9-1~deb13u1", "257.9-1~deb13u2", "a 257.9-1~deb13u1 → 257.9-1~deb13u2 (stable update)"),
]


@pytest.mark.parametrize(("old", "new", "said"), CHANGES)
def test_changes_of_packages(old: str, new: str, said: str | None) -> None:
    found = packages.difference({"a": old} if old else {}, {"a": new} if new else {})
    assert [c.said() for c in found] == ([said] if said else [])


def test_notes_begin_with_what_mends_and_stay_short() -> None:
    changes = packages.difference(
        {f"p{n}": "1-1" for n in range(50)}, {f"p{n}": "1-2" if n else "1-1+deb13u1" for n in range(50)}
    )
    text = packages.notes(changes, 300)
    assert text.startswith("p0 1-1 → 1-1+deb13u1 (stable update)\np1 ")
    assert text.endswith("more")
    assert len(text) <= 300


def test_packages_of_debian_and_of_pypi_are_told_apart_and_our_own_are_left_out() -> None:
    components = (
        Component("deb", "tuf", "1-1", "MIT"),
        Component("own", "orlop", "20261201.1", "MIT"),
        Component("pypi", "tuf", "7.0.1", "MIT"),
    )
    found = packages.of_contents(ImageContents(Version.parse("20261201.1"), components, {}, {}))
    assert found == {"tuf": "1-1", "tuf (PyPI)": "7.0.1"}


def test_changes_of_files() -> None:
    def file(size: int, digest: str) -> File:
        return File(size, digest, "deb:a")

    old = {"same": file(1, "a"), "gone": file(10, "b"), "changed": file(5, "c"), "link": file(0, "→ a")}
    new = {"same": file(1, "a"), "new": file(7, "d"), "changed": file(5, "e"), "link": file(0, "→ b")}
    found = files.difference(old, new)
    assert [(c.path, c.what, c.grown) for c in found] == [
        ("changed", "changed", 0),
        ("gone", "gone", -10),
        ("link", "changed", 0),
        ("new", "new", 7),
    ]
