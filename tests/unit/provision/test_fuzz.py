"""No input whatever makes the translator raise: everything that is wrong is in the report, with a place in the text."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orlop.provision.report import Severity, render
from orlop.provision.translate import translate
from tests.contracts.provision.configs import configs
from tests.unit.provision.texts import FCOS, FLATCAR, ORLOP, Memory

FILES = Memory({"one": b"1", "web": b"\xff\x00"}, {"tree": []})
HEADS = st.sampled_from([FCOS, FLATCAR, ORLOP, ""])
# pieces of YAML and of our own language, so that chance gets past the first line
PIECES = st.sampled_from(
    [
        *("storage", "files", "path", "mode", "contents", "inline", "local", "systemd", "units", "name", "quadlets"),
        *("boot_device", "trees", "update", "window", "disks", "partitions", "append", "http_headers", "dropins"),
        *(
            ": ",
            ":\n",
            "\n",
            "\n  ",
            "\n    ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "|\n  ",
            ">-\n",
            "'",
            '"',
            "#",
            "---\n",
            "...\n",
        ),
        *("&a ", "*a", "<<: ", "!!int ", "!!str ", "!x ", "? ", "%YAML 1.2\n", "\t", "\r", "\x85", "\u2028", "\ufeff"),
        *(
            "0644",
            "644",
            "-1",
            "1e9",
            "0x",
            "yes",
            "~",
            "/etc/x",
            "one",
            "\\ud800",
            "\\x00",
            "\x00",
            "é",
            "漢",
            "\U0001f600",
        ),
    ]
)


def check(raw: bytes) -> None:
    result = translate(raw, FILES)
    report = result.report
    assert (result.ignition is None) == any(e.severity is Severity.ERROR for e in report.entries)
    if result.ignition is not None:
        result.ignition.encode()
        assert json.loads(result.ignition)["ignition"]["version"] == "3.3.0"
    lines = result.text.splitlines() or [""]
    for entry in report.sorted():
        assert 1 <= entry.place.span.line <= len(lines) + 1
        assert entry.place.span.column >= 1
        assert entry.message
        json.dumps(entry.as_json())
    render(report, result.text, "fuzz.bu").encode()


@settings(max_examples=400)
@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfea\x00")
@example(b"- !!python/object:os.system {}")
def test_bytes(raw: bytes) -> None:
    check(raw)


@settings(max_examples=600)
@given(HEADS, st.text(max_size=200))
@example(FCOS, 'a: "\\ud800"')
@example(FCOS, "a: &a\n  <<: *a\n")
@example(FCOS, "? ")
@example(FCOS, "<<: {storage: 1}")
@example(FCOS, "<<: [")
def test_text(head: str, text: str) -> None:
    check((head + text).encode("utf-8", "surrogatepass"))


@settings(max_examples=1500)
@given(HEADS, st.lists(PIECES, max_size=40))
def test_pieces_of_yaml(head: str, parts: list[str]) -> None:
    check((head + "".join(parts)).encode("utf-8", "surrogatepass"))


@settings(max_examples=80)
@given(configs(), st.integers(0, 10_000), st.sampled_from(['"', "[", "{", "null", "1", "\x00", ""]))
def test_damaged_configs(text: str, at: int, with_: str) -> None:
    """A config that is mostly right, with one thing put into it."""
    at %= len(text) + 1
    check((text[:at] + with_ + text[at + 1 :]).encode())
