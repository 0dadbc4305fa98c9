# ruff: noqa: E501
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.release.channel import MAX_BYTES, STANDARD, Channel, PullBack, check_name, decode, encode
from tests.unit.model.release.channels import DONE, channel, channels, entry, v

FULL = channel(
    entry(1, floor="the disk layout changes"),
    entry(2, halt="", notes="quiet\nnights", groups=(("canary", DONE),)),
    entry(3, pull_back=PullBack(v(1), "loses files", DONE)),
    entry(4, dead_end="cannot read its own disk", arches=("arm64", "x86-64")),
    minimum=1,
)


@given(channels())
def test_what_is_written_is_read_back(one: Channel) -> None:
    assert decode(encode(one), "stable") == one


def test_the_full_one_too() -> None:
    assert decode(encode(FULL), "stable") == FULL
    assert encode(FULL) == encode(FULL)


Change = Callable[[dict[str, Any]], object]
WRONG: list[tuple[str, Change]] = [
    ("its schema is 'orlop.channel/2', this orlop reads", lambda d: d.update(schema="orlop.channel/2")),
    ("schema is missing", lambda d: d.pop("schema")),
    ("it is the document of channel 'beta'", lambda d: d.update(channel="beta")),
    ("wavess is unknown here; known are schema, channel", lambda d: d.update(wavess=1)),
    (r"versions\[0\].sooner is unknown here", lambda d: d["versions"][0].update(sooner=True)),
    (r"versions\[0\].images names no architecture", lambda d: d["versions"][0].update(images={})),
    (r"versions\[0\].images.mips is unknown", lambda d: d["versions"][0]["images"].update(mips={})),
    (r"index is '/etc/passwd', must be 'stable/", lambda d: d["versions"][0]["images"]["x86-64"].update(index="/etc/passwd")),
    (r"versions\[0\].version is '1', must be a version", lambda d: d["versions"][0].update(version="1")),
    (r"versions\[0\].published is '2026-12-01', must be a moment", lambda d: d["versions"][0].update(published="2026-12-01")),
    (r"versions\[0\].sbom must be a SHA-256", lambda d: d["versions"][0].update(sbom="A" * 64)),
    (r"versions\[0\].rollout is missing", lambda d: d["versions"][0].pop("rollout")),
    (r"minutes is 527041, must be 1", lambda d: d["versions"][0]["rollout"].update(waves=[{"minutes": 527041, "ppm": 1}])),
    (r"minutes is 0, must be 1", lambda d: d["versions"][0]["rollout"].update(waves=[{"minutes": 0, "ppm": 1}])),
    (r"ppm must be a whole number", lambda d: d["versions"][0]["rollout"].update(waves=[{"minutes": 1, "ppm": 1.5}])),
    (r"wave 2 reaches 5 millionths", lambda d: d["versions"][0]["rollout"].update(waves=[{"minutes": 1, "ppm": 5}, {"minutes": 2, "ppm": 5}])),
    (r"base must be a whole number", lambda d: d["versions"][0]["rollout"].update(base=True)),
    (r"halt gives a reason exactly when", lambda d: d["versions"][0].update(halt="why")),
    (r"floor has 0 characters", lambda d: d["versions"][0].update(floor="")),
    (r"floor has characters that cannot be printed", lambda d: d["versions"][0].update(floor="\x1b[2J")),
    ("versions are not in order", lambda d: d["versions"].reverse()),
    ("versions are not in order", lambda d: d["versions"].append(d["versions"][-1])),
    ("minimum_secure is 20261201.9, and no version here is as new", lambda d: d.update(minimum_secure="20261201.9")),
    (r"20261201.3 is pulled back to 20261201.4, which is not a lower", lambda d: d["versions"][2]["pull_back"].update(to="20261201.4")),
    (r"20261201.3 is pulled back to 20261201.0", lambda d: d["versions"][2]["pull_back"].update(to="20261201.0")),
    (r"which is below the secure minimum 20261201.2", lambda d: d.update(minimum_secure="20261201.2")),
    (r"is a floor and pulled back", lambda d: d["versions"][2].update(floor="why")),
    (r"groups names 0 groups", lambda d: d["versions"][1].update(groups={})),
    (r"names 'A B', which is not a valid group name", lambda d: d["versions"][1]["groups"].update({"A B": {}})),
]  # fmt: skip


@pytest.mark.parametrize(("message", "change"), WRONG, ids=[m[:40] for m, _ in WRONG])
def test_a_wrong_document_is_refused_by_place(message: str, change: Change) -> None:
    about = json.loads(encode(FULL))
    change(about)
    with pytest.raises(BadInput, match=message) as e:
        decode(json.dumps(about).encode(), "stable")
    assert e.value.message.startswith("the document of channel stable cannot be used: ")
    assert e.value.hint


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"", "not valid JSON"), (b"[]", "it must be an object"), (b"\xff", "not valid JSON"), (b"[" * 100_000, "not valid JSON"),
     (b'{"schema": NaN}', "NaN is not a valid JSON number"), (b'{"a": 1, "a": 2}', "the key 'a' is there twice"),
     (b" " * (MAX_BYTES + 1), "at most")],
)  # fmt: skip
def test_what_is_no_document_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        decode(raw, "stable")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(channels(), st.data())
def test_damage_anywhere_is_refused_or_harmless(one: Channel, data: st.DataObject) -> None:
    """Whatever value is put wherever, the answer is BadInput or a document that keeps every rule."""
    about = json.loads(encode(one))
    at: Any = about
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
            at = at[key]
            continue
        at[key] = data.draw(json_values)
        break
    try:
        found = decode(json.dumps(about).encode(), "stable")
    except BadInput:
        return
    assert decode(encode(found), "stable") == found


@given(st.binary(max_size=200))
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput):
        decode(raw, "stable")


def test_what_cannot_be_read_is_not_written() -> None:
    with pytest.raises(BadInput, match="not in order"):
        encode(channel(entry(2), entry(1)))


@pytest.mark.parametrize("name", [*STANDARD, "edge-2"])
def test_names_of_channels(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "root", "targets", "snapshot", "timestamp", "A", "1a", "a/b", "a" * 32, "a\n", ".."]
)
def test_what_cannot_be_a_channel(name: str) -> None:
    with pytest.raises(BadInput, match="is not a valid channel name"):
        check_name(name)
