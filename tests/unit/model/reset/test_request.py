"""What may be kept over a factory reset, and what then stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.reset.request import MAX_KEPT, REQUEST, ResetOutcome, ResetRequest, ResetResult, Stays


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "not plain and absolute"),
        ("lib/x", "not plain and absolute"),
        ("/var/../etc", "not plain and absolute"),
        ("/var//x", "not plain and absolute"),
        ("/var/./x", "not plain and absolute"),
        ("/", "not plain and absolute|a reset is of /var"),
        ("/var", "a reset is of /var"),
        ("/var/", "a reset is of /var"),
        ("/etc/x", "a reset is of /var"),
        ("/variable/x", "a reset is of /var"),
        ("/var/a\nb", "control characters"),
        ("/var/" + "x" * 2000, "too long"),
        (REQUEST, "the request for the reset"),
    ],
)
def test_a_path_that_cannot_be_kept_is_named(path: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as e:
        ResetRequest.of([path])
    assert repr(path) in e.value.message
    assert e.value.hint


def test_paths_are_kept_once_and_not_inside_one_another() -> None:
    request = ResetRequest.of(["/var/b/", "/var/a/c", "/var/a", "/var/b", "/var/ab"])
    assert request.keep == ("/var/a", "/var/ab", "/var/b")


def test_there_is_a_limit() -> None:
    with pytest.raises(BadInput, match="too many"):
        ResetRequest.of(f"/var/{n}" for n in range(MAX_KEPT + 1))


@pytest.mark.parametrize(
    ("path", "stays"),
    [
        ("/var/lib/app", Stays.WHOLE),
        ("/var/lib", Stays.AS_FOLDER),
        ("/var/lib/apple", Stays.NOT),
        ("/var/lib/orlop", Stays.AS_FOLDER),
        (REQUEST, Stays.WHOLE),
        ("/var/lib/orlop/machine-id", Stays.NOT),
        ("/var/log", Stays.NOT),
    ],
)
def test_what_stays(path: str, stays: Stays) -> None:
    assert ResetRequest.of(["/var/lib/app"]).stays(path) is stays


plain = st.lists(st.sampled_from(["lib", "a", "b c", "ü", "x.y"]), min_size=1, max_size=4).map(
    lambda parts: "/var/" + "/".join(parts)
)


@given(st.lists(plain, max_size=5))
def test_a_request_is_read_as_it_was_written(paths: list[str]) -> None:
    request = ResetRequest.of(paths)
    assert ResetRequest.parse(request.text()) == request
    assert all(any(p == kept or p.startswith(kept + "/") for kept in request.keep) for p in paths)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 2, "keep": []}', '{"schema": 1, "keep": "/var/x"}',
     '{"schema": 1, "keep": [1]}', '{"schema": 1, "keep": ["/etc"]}', '{"schema": 1, "keep": [], "keep": []}',
     "[" * 9999],
)  # fmt: skip
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        ResetRequest.parse(text)


def test_a_result_reads_as_a_sentence_and_as_itself() -> None:
    result = ResetResult(ResetOutcome.INCOMPLETE, ("/var/a",), ("/var/b",), 3, {"/var/c": "Device or resource busy"})
    assert result.line() == (
        "factory reset incomplete: 3 files and folders removed, kept /var/a; not there to keep: /var/b; "
        "could not be removed: /var/c (Device or resource busy)"
    )
    assert ResetResult.parse(result.text()) == result
    assert ResetResult(ResetOutcome.DONE, removed=2).line() == (
        "factory reset done: 2 files and folders removed, kept nothing"
    )
    assert "nothing was changed: why" in ResetResult(ResetOutcome.REFUSED, reason="why").line()
    assert "the next boot begins again: why" in ResetResult(ResetOutcome.FAILED, reason="why").line()
    for text in ("", "{}", '{"schema": 9}', "[]"):
        with pytest.raises(BadInput):
            ResetResult.parse(text)
