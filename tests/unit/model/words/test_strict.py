"""The strict reader of records: each value has its place, its type and its bounds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.model.words.strict import Fields, Wrong, is_sha256, parse_json, stamp
from orlop.model.words.version import Version

DIGEST = "0123456789abcdef" * 4
AT = datetime(2026, 12, 1, 12, 0, 0, tzinfo=UTC)

GOOD: dict[str, tuple[Callable[[Fields], object], object, object]] = {
    "a value": (lambda f: f.value("x", str), "", ""),
    "false is a value": (lambda f: f.value("x", bool, True), False, False),
    "text with a line's end": (lambda f: f.text("x", 3), "a\nb", "a\nb"),
    "text of the most": (lambda f: f.text("x", 2), "ab", "ab"),
    "empty text": (lambda f: f.text("x", 2, empty=True), "", ""),
    "a line": (lambda f: f.line("x", 2), "ab", "ab"),
    "an empty line": (lambda f: f.line("x", 2, empty=True), "", ""),
    "the least number": (lambda f: f.number("x", 1, 3), 1, 1),
    "the most": (lambda f: f.number("x", 1, 3), 3, 3),
    "a choice": (lambda f: f.choice("x", "a", "b"), "b", "b"),
    "a moment": (lambda f: f.moment("x"), "2026-12-01T12:00:00Z", AT),
    "a version": (lambda f: f.version("x"), "20261201.1", Version.parse("20261201.1")),
    "a digest": (lambda f: f.sha256("x"), DIGEST, DIGEST),
    "an object": (lambda f: f.fields("x"), {"y": 1}, Fields("x", {"y": 1})),
    "texts": (lambda f: f.texts("x"), ["a", ""], ["a", ""]),
    "no texts, which must be there": (lambda f: f.texts("x", must=True), [], []),
    "numbers": (lambda f: f.numbers("x", 0, 9), [0, 9], [0, 9]),
    "items": (lambda f: list(f.items("x", 1)), [{"y": 1}], [Fields("x[0]", {"y": 1})]),
}
BAD: dict[str, tuple[Callable[[Fields], object], object, str]] = {
    "another type": (lambda f: f.value("x", str), 1, "x must be text"),
    "a number that is true": (lambda f: f.value("x", int), True, "x must be a whole number"),
    "a number with a point": (lambda f: f.number("x", 0, 9), 1.0, "x must be a whole number"),
    "a word for a truth": (lambda f: f.value("x", bool), "true", "x must be true or false"),
    "nothing": (lambda f: f.value("x", dict), None, "x is missing"),
    "long text": (lambda f: f.text("x", 2), "abc", "x has 3 characters, must have 1 to 2"),
    "no text": (lambda f: f.text("x", 2), "", "x has 0 characters, must have 1 to 2"),
    "long text that may be empty": (
        lambda f: f.text("x", 2, empty=True),
        "abc",
        "x has 3 characters, must have 0 to 2",
    ),
    "a bell": (lambda f: f.text("x", 9), "a\x07", "x has characters that cannot be printed"),
    "two lines": (lambda f: f.line("x", 9), "a\nb", "x has more than one line"),
    "an empty line": (lambda f: f.line("x", 9), "", "x has 0 characters, must have 1 to 9"),
    "too little": (lambda f: f.number("x", 1, 3), 0, "x is 0, must be 1 to 3"),
    "too much": (lambda f: f.number("x", 1, 3), 4, "x is 4, must be 1 to 3"),
    "no choice": (lambda f: f.choice("x", "a", "b"), "c" * 50, f"x is '{'c' * 40}', must be one of a, b"),
    "no choice made": (lambda f: f.choice("x", "a"), None, "x is missing"),
    "no day": (lambda f: f.moment("x"), "2026-02-30T00:00:00Z", "must be a moment like 2026-12-01T12:00:00Z"),
    "a moment in other words": (lambda f: f.moment("x"), "2026-12-1T12:00:00Z", "x is '2026-12-1T12:00:00Z', must be"),
    "no version": (lambda f: f.version("x"), "1.2", "x is '1.2', must be a version like 20261201.1"),
    "a large digest": (lambda f: f.sha256("x"), DIGEST.upper(), "x must be a SHA-256 of 64 small hexadecimal digits"),
    "a short digest": (lambda f: f.sha256("x"), DIGEST[1:], "x must be a SHA-256"),
    "a list for an object": (lambda f: f.fields("x"), [], "x must be an object"),
    "a number among texts": (lambda f: f.texts("x"), ["a", 1], r"x[1] must be text"),
    "texts that must be there": (lambda f: f.texts("x", must=True), None, "x is missing"),
    "a number past the most": (lambda f: f.numbers("x", 0, 9), [9, 10], "x[1] is 10, must be 0 to 9"),
    "a truth among numbers": (lambda f: f.numbers("x", 0, 9), [True], "x[0] must be a whole number"),
    "many items": (lambda f: list(f.items("x", 1)), [{}, {}], "x has 2 entries, at most 1 are read"),
    "a text among items": (lambda f: list(f.items("x", 9)), [{}, "a"], "x[1] must be an object"),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_is_right_is_read(case: str) -> None:
    read, value, expected = GOOD[case]
    assert read(Fields("", {"x": value})) == expected


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_with_its_place(case: str) -> None:
    read, value, words = BAD[case]
    fields = Fields("", {} if value is None else {"x": value})
    with pytest.raises(Wrong) as caught:
        read(fields)
    assert words in caught.value.message
    with pytest.raises(Wrong) as below:
        read(Fields("top.inner", fields.values))
    assert words in below.value.message and below.value.message.startswith("top.inner.x")


def test_what_is_not_there_has_its_default_and_null_is_not_there() -> None:
    empty = Fields("", {"x": None})
    assert empty.value("y", str, "d") == "d"
    assert empty.choice("y", "a", "b", default="b") == "b"
    assert empty.texts("y") == []
    assert not empty.has("x") and not empty.has("y") and Fields("", {"x": 0}).has("x")
    with pytest.raises(Wrong, match="x is missing"):
        empty.value("x", str, "d")


def test_only_known_keys_are_let_through() -> None:
    Fields("a", {"x": 1}).only("x", "y")
    with pytest.raises(Wrong, match=r"^a\.z is unknown here; known are x, y$"):
        Fields("a", {"x": 1, "z": 1}).only("x", "y")


def test_the_document_itself_must_be_an_object() -> None:
    with pytest.raises(Wrong, match=r"^it must be an object$"):
        Fields.of("", [])
    assert Fields.of("", {"x": 1}).at("x") == "x"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a": 1, "b": 2, "a": 1}', "the key 'a' is there twice"),
        (b'[{"x": {"a": 0, "b": 1, "b": 2}}]', "the key 'b' is there twice"),
        (b"[NaN]", "NaN is not a valid JSON number"),
        (b"[-Infinity]", "-Infinity is not a valid JSON number"),
        (b"{", "it is not valid JSON"),
        (b"\xff", "it is not valid JSON"),
        (b"[" * 100_000, "it is not valid JSON"),
        (b"[1]", "it has 3 bytes, at most 2 are read"),
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(Wrong) as caught:
        parse_json(raw, 2 if raw == b"[1]" else len(raw))
    assert words in caught.value.message


def test_json_of_the_most_bytes_is_read() -> None:
    assert parse_json(b'{"a": [1]}', 10) == {"a": [1]}


def test_a_moment_elsewhere_is_written_in_utc() -> None:
    assert stamp(AT.astimezone(timezone(timedelta(hours=5)))) == "2026-12-01T12:00:00Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_is_written_as_it_is_read(moment: datetime) -> None:
    assert Fields("", {"x": stamp(moment)}).moment("x") == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    "value", ["", DIGEST + "0", DIGEST[1:] + "g", DIGEST[1:] + "A", DIGEST[1:] + "X", 1, None, [*DIGEST]]
)
def test_what_is_no_digest(value: Any) -> None:
    assert not is_sha256(value)
    assert is_sha256(DIGEST)
