"""Which CVEs are fixed between two images, by data in the security tracker's form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import BadInput
from orlop.image.contents import tracker
from orlop.image.contents.tracker import Fix
from orlop.model.contents.contents import Component, ImageContents, Source
from orlop.model.words.version import Version


def image(**versions: str) -> ImageContents:
    """With a library and its tool from one source, and a program that the library was built into."""
    made = [
        Component("deb", name, version, "MIT", "amd64", "trixie", Source("openssl", version))
        for name, version in versions.items()
        if name != "static"
    ]
    if static := versions.get("static"):
        made.append(
            Component("deb", "prog", "7", "MIT", "amd64", "trixie", Source("prog", "7"), (Source("openssl", static),))
        )
    return ImageContents(Version.parse("20261201.1"), tuple(made), {}, {})


def release(**values: str) -> dict[str, Any]:
    return {"releases": {"trixie": {"status": "resolved", "urgency": "not yet assigned", **values}}}


DATA = {
    "openssl": {
        "CVE-2026-0001": release(fixed_version="3.5.1-1+deb13u1"),
        "CVE-2026-0002": release(fixed_version="3.5.1-1~"),  # was fixed already
        "CVE-2026-0003": release(status="open"),
        "CVE-2026-0004": release(fixed_version="0"),  # this release never had it
        "CVE-2026-0005": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "3.5.1-1+deb13u1"}}},
        "CVE-2026-0006": release(fixed_version="3.5.1-1+deb13u10"),
    },
    "other": {"CVE-2026-0007": release(fixed_version="2")},
}


def test_what_lies_between_the_two_versions_is_fixed() -> None:
    old = image(libssl="3.5.1-1", openssl="3.5.1-1", static="3.5.1-1")
    new = image(libssl="3.5.1-1+deb13u2", openssl="3.5.1-1+deb13u2", static="3.5.1-1")
    wanted = [Fix("CVE-2026-0001", "openssl", "3.5.1-1+deb13u1", ("deb:libssl", "deb:openssl"))]
    assert tracker.fixed(DATA, old, new) == wanted, "what the library was built into still has it"
    assert tracker.fixed(DATA, new, old) == []
    assert tracker.fixed(DATA, old, old) == []


def test_a_program_that_was_built_anew_is_fixed_too() -> None:
    (fix,) = tracker.fixed(DATA, image(static="3.5.1-1"), image(static="3.5.1-1+deb13u1"))
    assert fix.components == ("deb:prog",)


def test_what_is_new_or_gone_fixes_nothing() -> None:
    assert tracker.fixed(DATA, image(libssl="3.5.1-1"), image(openssl="3.5.1-1+deb13u1")) == []


WRONG: list[tuple[Any, str]] = [
    ({}, "say nothing of trixie"),
    ({"openssl": {"CVE-1": {"releases": {"sid": {"fixed_version": "1"}}}}}, "say nothing of trixie"),
    ({"openssl": ["CVE-1"]}, "openssl says no releases"),
    ({"openssl": {"CVE-1": {}}}, "openssl says no releases"),
    ({"openssl": {"CVE-1": {"releases": []}}}, "openssl says no releases"),
    ({"openssl": {"CVE-1": {"releases": {"trixie": []}}}}, "openssl, CVE-1 has no version"),
    ({"openssl": {"CVE-1": release(fixed_version="ä")}}, "'ä' is not a valid version"),
]


@pytest.mark.parametrize(("data", "said"), WRONG)
def test_data_that_are_not_the_trackers(data: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        tracker.fixed(data, image(libssl="1"), image(libssl="2"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not valid JSON"),
        (b"[]", "does not hold an object"),
        (b"\xff", "is not valid JSON"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_not_the_trackers(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "data.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=said):
        tracker.read(path)


def test_the_file_is_read_as_it_is_published(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(DATA))
    assert tracker.read(path) == DATA


def test_a_release_of_debian_is_the_newer_images() -> None:
    old = image(libssl="3.5.1-1")
    newer = replace(image(libssl="3.5.1-1+deb13u1").components[0], distro="bookworm")
    (fix,) = tracker.fixed(DATA, old, replace(old, components=(newer,)))
    assert fix.cve == "CVE-2026-0005"
