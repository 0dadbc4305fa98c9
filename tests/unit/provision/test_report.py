"""How findings look: position, two lines of context, a caret under what they are about."""

from __future__ import annotations

import pytest

from orlop.provision.report import render
from orlop.provision.source import Span, excerpt
from orlop.provision.translate import translate


def shown(text: str) -> str:
    result = translate(text.encode())
    return render(result.report, result.text, "node.bu")


def test_an_error_as_a_person_sees_it() -> None:
    text = "variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: etc/motd\n      mode: 0644\n"
    assert shown(text) == (
        "error: path is not absolute: 'etc/motd' does not begin with /\n"
        "  --> node.bu:5:13 ($.storage.files.0.path)\n"
        "   3 | storage:\n"
        "   4 |   files:\n"
        "   5 |     - path: etc/motd\n"
        "     |             ^^^^^^^^"
    )


def test_findings_come_in_the_order_of_the_text() -> None:
    text = "variant: fcos\nversion: 1.4.0\nstorage:\n  files: [{path: a}]\n  disks: [{device: b}]\nx: 1\n"
    assert [line.split()[1] for line in shown(text).splitlines() if "-->" in line] == [
        "node.bu:4:18",
        "node.bu:5:20",
        "node.bu:6:1",
    ]


def test_hint_and_warning() -> None:
    out = shown("variant: fcos\nversion: 1.4.0\nsorage: {}\n")
    assert out.startswith("warning: unknown key 'sorage': it is left out\n")
    assert out.endswith("\n  hint: did you mean storage?")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_line_ends(end: str) -> None:
    """Lines are counted as YAML counts them."""
    out = shown(end.join(["variant: fcos", "version: 1.4.0", "a: 1", "a: 2", ""]))
    assert "node.bu:4:1 " in out
    assert " 4 | a: 2" in out


@pytest.mark.parametrize(
    ("line", "span", "expected"),
    [
        ("abc def", Span(1, 5, 1, 8), [" 1 | abc def", "   |     ^^^"]),
        ("abc", Span(1, 4, 1, 5), [" 1 | abc", "   |    ^"]),
        ("abc", Span(1, 1, 3, 2), [" 1 | abc", "   | ^^^"]),
        ("\tabc", Span(1, 2, 1, 3), [" 1 | \tabc", "   | \t^"]),
        ("äöü x", Span(1, 5, 1, 6), [" 1 | äöü x", "   |     ^"]),
        ("漢字 x", Span(1, 4, 1, 5), [" 1 | 漢字 x", "   |      ^"]),
        ("e\u0301 x", Span(1, 4, 1, 5), [" 1 | e\u0301 x", "   |   ^"]),
        ("a\x1b[31m", Span(1, 1, 1, 2), [" 1 | a·[31m", "   | ^"]),
        ("x" * 300, Span(1, 1, 1, 301), [" 1 | " + "x" * 100 + "…", "   | " + "^" * 100]),
    ],
)
def test_carets(line: str, span: Span, expected: list[str]) -> None:
    assert excerpt([line], span) == expected


def test_long_lines_are_cut_around_the_caret() -> None:
    out = excerpt(["short", "x" * 500 + "HERE" + "y" * 500], Span(2, 501, 2, 505))
    assert out[0] == " 1 | short"
    assert out[1].startswith(" 2 | …xxx")
    assert out[1][out[2].index("^") :][:4] == "HERE"


UNIT = """\
variant: fcos
version: 1.4.0
systemd:
  units:
    - name: a.service
      contents: |
        [Service]

        ExecStart /bin/true
"""


def test_the_line_of_a_unit() -> None:
    """In a literal block, the very line is shown."""
    assert shown(UNIT) == (
        "error: line 3 of the unit: 'ExecStart /bin/true' has no = after it\n"
        "  --> node.bu:9:1 ($.systemd.units.0.contents)\n"
        "   7 |         [Service]\n"
        "   8 |\n"
        "   9 |         ExecStart /bin/true\n"
        "     |         ^^^^^^^^^^^^^^^^^^^"
    )


@pytest.mark.parametrize("style", [">", "|2", "|-", ">-"])
def test_the_line_of_a_unit_in_other_blocks(style: str) -> None:
    out = shown(UNIT.replace("|", style))
    assert ("node.bu:9:1 " if "|" in style else "node.bu:6:17 ") in out


def test_nothing_to_show() -> None:
    assert excerpt([], Span(1, 1, 1, 2)) == []
    assert excerpt(["a"], Span(7, 1, 7, 2)) == []
