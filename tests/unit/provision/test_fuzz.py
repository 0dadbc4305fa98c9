"""No input whatever makes the translator raise: everything that is wrong is in the report, with a place in the text."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orlop.provision.report import MESSAGE, Severity, render
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


HOSTILE = {
    "deep lists": "a: " + "[" * 100_000,
    "deep mappings": "a: " + "{a: " * 50_000,
    "deep by indentation": "".join(" " * n + "a:\n" for n in range(2_000)),
    "deep by dashes": "a:\n" + "- " * 100_000,
    "aliases of aliases": "a0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 60)),
    "aliases that are used": "a: &a {path: /a, append: [{inline: x}]}\nb: &b ["
    + ",".join(["*a"] * 2_000)
    + "]\nstorage: {files: *b, directories: *b, links: *b}\n",
    "merges of merges": "m0: &m0 {a: 1}\n"
    + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}], k{n}: 1}}\n" for n in range(1, 300)),
    "merge of itself": "a: &a\n  <<: *a\n",
    "merge of a number": "storage:\n  <<: 1\n",
    "digits": "storage: {files: [{path: /a, mode: " + "9" * 100_000 + "}]}\n",
    "hex digits": "storage: {files: [{path: /a, mode: 0x" + "f" * 100_000 + "}]}\n",
    "underscores": "storage: {files: [{path: /a, mode: 0_" + "_" * 100_000 + "}]}\n",
    "infinity": "passwd: {users: [{name: a, uid: .inf}, {name: b, uid: -0}, {name: c, uid: 1:30}]}\n",
    "a long path": "storage: {files: [{path: /" + "a/" * 100_000 + "}]}\n",
    "a path that climbs": "storage: {files: [{path: /" + "../" * 100_000 + "}]}\n",
    "a long name": "x" * 100_000 + ": 1\n",
    "a long URL": "storage: {files: [{path: /a, contents: {source: 'data:" + ";a=b" * 50_000 + ",x'}}]}\n",
    "a long unit": 'systemd: {units: [{name: a.service, contents: "' + "[a]\\n" * 100_000 + '"}]}\n',
    "NUL": "a: \0",
    "NUL in a string": 'systemd: {units: [{name: "a\\0.service", contents: "\\0"}]}\n',
    "NUL in a file name": 'storage: {files: [{path: /a, contents: {local: "\\0"}}]}\n',
    "a key that is a list": "? [a]\n: b\n",
    "a key that is an alias": "a: &a b\n*a : c\n",
    "carriage returns": "storage:\r\n  files:\r\n    - path: a\r\n",
    "only carriage returns": "storage:\r  files:\r    - path: a\r",
    "tabs": "storage:\n\tfiles: []\n",
    "a BOM inside": "a: \ufeffx\n\ufeffb: c\n",
    "twice": "storage: {}\nstorage: {}\n",
    "tags": "a: !!binary x\nb: !x y\nc: !<z> w\n",
    "a second document": "a: b\n---\nc: d\n",
}


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
        assert 0 < len(entry.message) <= MESSAGE
        json.dumps(entry.as_json())
    render(report, result.text, "fuzz.bu").encode()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("head", [FCOS, ORLOP])
def test_hostile(name: str, head: str) -> None:
    check((head + HOSTILE[name]).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff" + FCOS.encode(),
        FCOS.encode() + b"a: \xc3\x28",
        FCOS.encode() + b"a: \xed\xa0\x80",
        b"\xef\xbb\xbf" + FCOS.encode(),
        FCOS.encode("utf-16"),
        b"%YAML 9.9\n---\n" + FCOS.encode(),
        *(c * 10_000 for c in (b"\0", b"%", b"&", b"*", b"!", b"?\n", b"- ", b"'", b"|\n", b"---\n")),
    ],
)
def test_hostile_bytes(raw: bytes) -> None:
    check(raw)


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
