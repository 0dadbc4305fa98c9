"""Small parts by themselves: unit files, merging, the table, the reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.provision.reference import markdown
from orlop.provision.rules.unitfile import parse
from orlop.provision.schema import Type, camel
from orlop.provision.variants import VARIANTS, Variant

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", set()),
        ("[A]\n", set()),
        ("[A]\nb=c\n[D]\ne = f\n", {("A", "b"), ("D", "e")}),
        ("b=c\n[A]\n", set()),
        ("# [A]\n; [B]\n[C]\nd=\n", {("C", "d")}),
        ("[A]\nb=c \\\n d=e\nf=g", {("A", "b"), ("A", "f")}),
        ("[A]\nb=c\\\n\nd=e", {("A", "b"), ("A", "d")}),
        ("[A]\n# c \\\n d=e\nf=g", {("A", "f")}),
        ("[A\nB]\nc=d", {("A\nB", "c")}),
    ],
)
def test_unit_files(text: str, options: set[tuple[str, str]]) -> None:
    parsed = parse(text)
    assert (parsed.problem, set(parsed.options)) == ("", options)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("[A", 1, "a section name is not closed by ]"),
        ("\n\n[A] b\n", 3, "there is text after the section name [A]"),
        ("[A]\n\nb\n", 3, "'b' has no = after it"),
        ("[A]\nb", 2, "'b' has no = after it"),
        ("[A]\nb=" + "x" * 2046, 2, "it is longer than 2047 bytes"),
        ("[A]\nb=" + "ü" * 1023, 2, "it is longer than 2047 bytes"),
        ("\n" + "#" * 3000, 2, "it is longer than 2047 bytes"),
    ],
)
def test_bad_unit_files(text: str, line: int, problem: str) -> None:
    parsed = parse(text)
    assert (parsed.line, parsed.problem) == (line, problem)


@pytest.mark.parametrize(
    ("name", "json"),
    [
        ("path", "path"),
        ("home_dir", "homeDir"),
        ("size_mib", "sizeMiB"),
        ("http_response_headers", "httpResponseHeaders"),
        ("ssh_authorized_keys", "sshAuthorizedKeys"),
        ("type_guid", "typeGuid"),
    ],
)
def test_names_in_ignition(name: str, json: str) -> None:
    assert camel(name) == json


def kinds(kind: Type, seen: dict[int, Type]) -> dict[int, Type]:
    seen[id(kind)] = kind
    for field in kind.fields:
        if isinstance(field.kind, Type) and id(field.kind) not in seen:
            kinds(field.kind, seen)
    return seen


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_the_table_is_sound(variant: Variant) -> None:
    found = kinds(variant.type, {}).values()
    names = [kind.name for kind in found]
    assert len(names) == len(set(names))
    for kind in found:
        keys = [field.name for field in kind.fields]
        assert len(keys) == len(set(keys))
        assert all(field.doc for field in kind.fields)
        assert kind.key == "" or kind.key in kind.by_name


def test_reference_is_current() -> None:
    written = (REPOSITORY / "docs" / "reference" / "config-orlop.md").read_text()
    assert written == markdown(), "orlop config reference > docs/reference/config-orlop.md"
