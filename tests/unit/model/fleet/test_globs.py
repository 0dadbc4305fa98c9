"""Patterns match as Go's path.Match does: the table is that of its own tests, for what a name can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.fleet.globs import compiled, matches

MATCH = [
    ("abc", "abc", True),
    ("*", "abc", True),
    ("*c", "abc", True),
    ("a*", "a", True),
    ("a*", "abc", True),
    ("a*", "ab/c", False),
    ("a*b*c*d*e*", "axbxcxdxe", True),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False),
    ("ab[^b-d]", "abc", False),
    ("ab[^e-g]", "abc", True),
    (r"a\*b", "a*b", True),
    (r"a\*b", "ab", False),
    ("a?b", "a☺b", True),
    ("a[^a]b", "a☺b", True),
    ("a???b", "a☺b", False),
    ("[a-ζ]*", "α", True),
    ("*[a-ζ]", "A", False),
    ("a?b", "a/b", False),
    ("a*b", "a/b", False),
    (r"[\]a]", "]", True),
    (r"[\-]", "-", True),
    (r"[x\-]", "x", True),
    (r"[x\-]", "-", True),
    (r"[x\-]", "z", False),
    (r"[\-x]", "a", False),
    ("*x", "xxx", True),
    ("web@*.service", "web@1.service", True),
    ("web", "web.service", False),
    ("[!a]", "!", True),
    ("", "", True),
    ("a.c", "abc", False),
]
BAD = ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "[a-b-c]", "a\\", "bad[", "[z-a]", "x" * 257]


@pytest.mark.parametrize(("pattern", "name", "is_so"), MATCH)
def test_it_matches_as_go_does(pattern: str, name: str, is_so: bool) -> None:
    assert matches(pattern, name) is is_so


@pytest.mark.parametrize("pattern", BAD)
def test_a_bad_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput):
        compiled(pattern)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_pattern_is_read_or_refused(pattern: str, name: str) -> None:
    try:
        matches(pattern, name)
    except BadInput:
        return


@given(st.text(st.characters(exclude_characters="*?[\\"), max_size=20))
def test_plain_text_matches_itself(text: str) -> None:
    assert matches(text, text)
