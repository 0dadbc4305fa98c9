"""What is left out of a run, and told instead."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.node.config.rendering import Rendering
from orlop.simulate.plan import alone, contents, elsewhere, plan

FAR = "https://far.example/x"


def ignition(**more: Any) -> dict[str, Any]:
    return {"ignition": {"version": "3.3.0", **more}}


def test_nothing_elsewhere_changes_nothing() -> None:
    config = ignition(config={"merge": [{"source": "data:,x"}], "replace": {"source": None}}, security={"tls": {}})
    assert alone(config) == (config, [])


def test_configs_and_authorities() -> None:
    hashed = {"source": FAR, "verification": {"hash": "sha256-00"}}
    config = ignition(
        config={"merge": [{"source": "data:,x"}, hashed], "replace": {"source": FAR}},
        security={"tls": {"certificateAuthorities": [{"source": FAR}, {"source": "data:,ca"}]}},
    )
    left, found = alone(config)
    assert left == ignition(
        config={"merge": [{"source": "data:,x"}]},
        security={"tls": {"certificateAuthorities": [{"source": "data:,ca"}]}},
    )
    assert [(f.what.split()[1], f.verification) for f in found] == [
        ("config", ""),
        ("config", "sha256-00"),
        ("certificate", ""),
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_configs_within_configs(packed: bool) -> None:
    inner = json.dumps(ignition(config={"merge": [{"source": FAR}]})).encode()
    raw = gzip.compress(inner) if packed else inner
    resource = {"source": "data:;base64," + base64.b64encode(raw).decode(), "compression": "gzip" if packed else ""}
    left, found = alone(ignition(config={"merge": [resource]}))
    assert [f.url for f in found] == [FAR]
    (again,) = left["ignition"]["config"]["merge"]
    assert json.loads(contents(again) or b"") == ignition(config={"merge": []})


def test_files() -> None:
    near = {"path": "/near", "contents": {"source": "data:,x"}}
    far = {"path": "/far", "mode": 384, "contents": {"source": FAR, "compression": "gzip"}}
    both = {"path": "/both", "append": [{"source": "data:,y"}, {"source": FAR}]}
    made = plan(Rendering({"storage": {"files": [near, far, both]}}), [], fetch=False)
    assert made.sources == {"/far": (FAR,), "/both": (FAR,)}
    emptied = {"source": "data:,", "compression": "", "verification": {}}
    assert made.config.raw["storage"]["files"] == [
        near,
        {"path": "/far", "mode": 384, "append": [], "contents": emptied},
        {"path": "/both", "append": [{"source": "data:,y"}]},
    ]
    whole = {"storage": {"files": [near, far, both]}, "kernelArguments": {}}
    assert plan(Rendering(whole), [], fetch=True).config.raw["storage"]["files"] == whole["storage"]["files"]


def test_disks() -> None:
    storage = {
        "disks": [
            {"device": "/dev/a", "partitions": [{"number": 1, "label": "x", "sizeMiB": 8}, {"label": "y"}]},
            {"device": "/dev/b", "wipeTable": True, "partitions": [{"number": 2, "shouldExist": False}]},
            {"device": "/dev/c"},
        ],
        "filesystems": [{"device": "/dev/d", "format": "swap", "label": "s", "wipeFilesystem": True}],
    }
    made = plan(Rendering({"storage": storage}), [], fetch=False)
    assert made.disks == (
        '/dev/a: partition 1 "x", 8 MiB; a partition "y"',
        "/dev/b: a new partition table; partition 2 removed",
        "/dev/c: as it is",
        '/dev/d: swap labelled "s", made anew whatever is there',
    )
    assert not {"disks", "filesystems"} & set(made.config.raw["storage"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("data:,a%20b", b"a b"),
        ("data:text/plain;base64,aGk=", b"hi"),
        ("DATA:,x", b"x"),
        ("data:;base64,?", None),
        ("data:x", None),
        (FAR, None),
        (None, None),
    ],
)
def test_contents(source: str | None, expected: bytes | None) -> None:
    assert contents({"source": source}) == expected


@pytest.mark.parametrize(
    ("url", "away"), [(FAR, True), ("s3://b/k", True), ("data:,", False), ("", False), (None, False)]
)
def test_elsewhere(url: str | None, away: bool) -> None:
    assert elsewhere(url) == away


RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "source": st.sampled_from([FAR, "data:,{}", "data:;base64,eA==", "", 1, None]),
        "compression": st.just("gzip"),
    },
)
ANY: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3), RESOURCES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["ignition", "config", "merge", "replace", "security", "tls", "certificateAuthorities"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["ignition", "storage", "x"]), ANY, max_size=3))
def test_any_shape(config: dict[str, Any]) -> None:
    """What is not shaped as it should be is left for Ignition; what is taken out stays out."""
    left, found = alone(config)
    assert alone(left) == (left, [])
    assert found or left == config
