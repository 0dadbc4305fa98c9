"""Unit files read as fleet 1.0.0 read them, and named by the hash that it gave them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.fleet.unitfile import LARGEST, FleetFile, UnitOption, parse, several


def read(text: str) -> list[tuple[str, str, str]]:
    return [(option.section, option.name, option.value) for option in parse(text).options]


READ = {
    "an option": ("[A]\nB=c\n", [("A", "B", "c")]),
    "no line end at the end": ("[A]\nB=c", [("A", "B", "c")]),
    "blanks around": ("[A]\n  B =  c  \n", [("A", "B", "c")]),
    "an empty value": ("[A]\nB=\nC=d", [("A", "B", ""), ("A", "C", "d")]),
    "= in a value": ("[A]\nB=c=d", [("A", "B", "c=d")]),
    "comments of both kinds": ("# x\n[A]\n; y\nB=c # not one\n", [("A", "B", "c # not one")]),
    "a comment that goes on": ("[A]\n# x \\\nB=no\nC=d", [("A", "C", "d")]),
    "a comment that goes on behind a blank": ("[A]\n# x \\ \nB=no\nC=d", [("A", "C", "d")]),
    "[ in a comment": ("# [X]\n[A]\nB=c", [("A", "B", "c")]),
    "a value that goes on": ("[A]\nB=c \\\n  d\nE=f", [("A", "B", "c \\\n  d"), ("A", "E", "f")]),
    "a value that goes on with nothing": ("[A]\nB=c \\\n\nE=f", [("A", "B", "c \\\n"), ("A", "E", "f")]),
    "a value that goes on to the end": ("[A]\nB=c \\", [("A", "B", "c \\")]),
    "a backslash inside": ("[A]\nB=c \\d\nE=f", [("A", "B", "c \\d"), ("A", "E", "f")]),
    "lines of Windows": ("[A]\r\nB=c\r\n", [("A", "B", "c")]),
    "a section without options": ("[A]\n[B]\nC=d", [("B", "C", "d")]),
    "a section twice": ("[A]\nB=1\n[C]\nD=2\n[A]\nE=3", [("A", "B", "1"), ("C", "D", "2"), ("A", "E", "3")]),
    "no sections": ("what is here", []),
    "nothing": ("", []),
    "a no-break space around": ("[A]\nB=\xa0c\xa0", [("A", "B", "c")]),
    "a control character stays": ("[A]\nB=\x1cc", [("A", "B", "\x1cc")]),
}


@pytest.mark.parametrize(("text", "options"), READ.values(), ids=READ)
def test_it_is_read_as_it_was(text: str, options: list[tuple[str, str, str]]) -> None:
    assert read(text) == options


WRONG = {
    "no =": ("[A]\nB=c\nDescription\nE=f", "line 3: 'Description' has no ="),
    "no = at the end": ("[A]\nB", "line 2: 'B' has no ="),
    "a section that does not end": ("[A]\nB=c\n[C\nD", "line 3: a [ has no ]"),
    "text behind a section": ("[A]\n[B] x\nC=d", "line 2: something stands behind [B]"),
    "a long line": ("[A]\nB=" + "x" * 2046, "line 2: it has 2048 bytes or more"),
    "a long line of few characters": ("[A]\nB=" + "ä" * 1023, "line 2: it has 2048 bytes or more"),
    "a long comment": ("[A]\n#" + "x" * 2048 + "\nB=c", "line 2: it has 2048 bytes"),
    "a large file": ("[A]\n" + "B=c\n" * (LARGEST // 4), "64 KiB"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_names_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as e:
        parse(text)
    assert said in e.value.message


def test_a_line_of_2047_bytes_is_read() -> None:
    assert len(read("[A]\nB=" + "x" * 2045)[0][2]) == 2045


def test_each_option_knows_its_line() -> None:
    file = parse("# one\n[A]\n\nB=c \\\n d\n# six\nE=f\n[G]\nH=i")
    assert [(option.name, option.line) for option in file.options] == [("B", 4), ("E", 7), ("H", 9)]


def test_text_before_the_first_section_is_noticed() -> None:
    assert (parse("[A]\nB=c").stray, parse("\n# c\n x\n[A]\nB=c").stray) == (0, 3)


def test_the_hash_is_fleets() -> None:
    # the value is fleet's own, of its test of hashes
    assert parse("[Service]\nExecStart=/bin/sleep 100\n").hash == "1c6fb6f3684bafb0c173d8b8b957ceff031180c1"


def test_the_canonical_form_has_sections_together_and_no_comments() -> None:
    file = parse("# x\n[A]\nB=1\n[C]\nD = 2\n[A]\nE=3")
    assert file.text() == "[A]\nB=1\nE=3\n\n[C]\nD=2\n"


def test_what_says_the_same_has_the_same_hash() -> None:
    one, other = parse("[A]\nB=1\n\n[C]\nD=2"), parse("#!\n[A]\n  B = 1\n[C]\n; no\nD=2\n\n")
    assert one.hash == other.hash != parse("[A]\nB=1\n[C]\nD=3").hash


SEVERAL = {
    "one": ("a=b", ["a=b"]),
    "in quotes": ('"a=b"', ["a=b"]),
    "two": ('"a=b" "c=d"', ["a=b", "c=d"]),
    "a blank in quotes": ('"a b" "c"', ["a b", "c"]),
    "two without quotes are one": ("a=b c=d", ["a=b c=d"]),
    "a quote at one end only": ('"a=b', ['"a=b']),
    "nothing in quotes": ('""', [""]),
    "one quote": ('"', [""]),
    "two blanks": ('"a"  "b"', ["a", "", "b"]),
}


@pytest.mark.parametrize(("text", "values"), SEVERAL.values(), ids=SEVERAL)
def test_several_values_stand_in_quotes(text: str, values: list[str]) -> None:
    assert several(text) == values
    assert [value for _, value in parse(f"[X-Fleet]\nMachineMetadata={text}").fleet()] == values


def test_description_is_the_first() -> None:
    assert parse("[Unit]\nDescription=one\nDescription=two").description == "one"
    assert parse("[Service]\nDescription=one").description == ""


_WORD = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="=[]#;\\"), min_size=1, max_size=9
)


@given(st.lists(st.tuples(st.sampled_from("ABC"), _WORD, _WORD), max_size=12))
def test_what_is_written_is_read_again(options: list[tuple[str, str, str]]) -> None:
    made = FleetFile(tuple(UnitOption(*option) for option in options))
    again = parse(made.text())
    assert again.hash == made.hash and sorted(read(made.text())) == sorted(options)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        file = parse(text)
    except BadInput:
        return
    assert len(file.hash) == 40
