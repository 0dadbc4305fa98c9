"""What is said of an image's contents: whole after writing and reading, refused when damaged, in scanners' names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from orlop.model.contents.contents import UNKNOWN, Component, File, ImageContents, Source, decode, encode
from orlop.model.words.strict import Wrong
from orlop.model.words.version import Version

VERSION = Version.parse("20261201.1")
NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{0,30}", fullmatch=True)
VERSIONS = st.from_regex(r"([0-9]:)?[0-9][A-Za-z0-9.+~-]{0,30}", fullmatch=True)
SOURCES = st.builds(Source, NAMES, VERSIONS)
DEBS = st.builds(
    Component,
    st.just("deb"),
    NAMES,
    VERSIONS,
    st.sampled_from(["MIT", UNKNOWN, "MIT AND LicenseRef-x"]),
    arch=st.sampled_from(["amd64", "all"]),
    distro=st.just("trixie"),
    source=SOURCES,
    built_from=st.lists(SOURCES, max_size=2).map(tuple),
)
OTHERS = st.builds(Component, st.sampled_from(["pypi", "own"]), NAMES, VERSIONS, st.just("MIT"))


@given(st.lists(st.one_of(DEBS, OTHERS), max_size=4, unique_by=lambda c: c.key), st.data())
def test_what_is_written_is_read(components: list[Component], data: st.DataObject) -> None:
    keys = st.sampled_from(["", *(component.key for component in components)])
    file = st.builds(File, st.integers(0, 1 << 40), st.sampled_from(["0" * 64, "→ ../a"]), keys)
    files = data.draw(st.dictionaries(st.text(max_size=20), file, max_size=3))
    texts = {"LicenseRef-x": "text\n\tof it"} if any("LicenseRef" in c.licence for c in components) else {}
    contents = ImageContents(VERSION, tuple(components), texts, files)
    assert decode(encode(contents)) == contents
    assert sum(contents.known_licences().values()) == len(components)


@given(st.one_of(DEBS, OTHERS))
def test_a_purl_is_what_the_outside_library_reads_and_writes(component: Component) -> None:
    read = PackageURL.from_string(component.purl)
    assert read.to_string() == component.purl
    assert read.version == component.version
    if component.kind == "deb":
        qualifiers = dict(read.qualifiers)
        name, _, version = qualifiers.get("upstream", component.name).partition("@")
        assert Source(name, version or component.version) == component.source
        assert (read.namespace, read.name, qualifiers["arch"]) == ("debian", component.name, component.arch)
        assert qualifiers["distro"] == "trixie"


def good() -> dict[str, Any]:
    component = Component("deb", "a", "1", "LicenseRef-a", "amd64", "trixie", Source("a", "1"))
    contents = ImageContents(VERSION, (component,), {"LicenseRef-a": "text"}, {"usr/a": File(1, "0" * 64, "deb:a")})
    document = json.loads(encode(contents))
    assert isinstance(document, dict)
    return document


WRONG = [
    ("schema is 'x'", lambda d: d.update(schema="x")),
    ("version is '1'", lambda d: d.update(version="1")),
    ("kind is 'rpm'", lambda d: d["components"][0].update(kind="rpm")),
    ("source is missing", lambda d: d["components"][0].pop("source")),
    ("usr/a must be a size, a digest and the key", lambda d: d["files"]["usr/a"].pop()),
    ("usr/a must be a size, a digest and the key", lambda d: d["files"].update({"usr/a": [1, "", "deb:other"]})),
    ("not those that are named: LicenseRef-a", lambda d: d["licences"].clear()),
    ("not those that are named: LicenseRef-b", lambda d: d["licences"].update({"LicenseRef-b": ""})),
]


@pytest.mark.parametrize(("said", "change"), WRONG, ids=[f"{n}-{said}" for n, (said, _) in enumerate(WRONG)])
def test_what_is_damaged_is_named(said: str, change: Any) -> None:
    document = good()
    change(document)
    with pytest.raises(Wrong, match=said):
        decode(json.dumps(document).encode())


def test_how_many_licences_are_known() -> None:
    components = tuple(
        Component("own", str(n), "1", licence)
        for n, licence in enumerate(["MIT", "MIT OR Zlib", "MIT AND LicenseRef-x", UNKNOWN])
    )
    found = ImageContents(VERSION, components, {"LicenseRef-x": ""}, {}).known_licences()
    assert found == {"named": 2, "by_text": 1, "unknown": 1}
