"""How YAML is read: the rules of Go's yaml.v3, bounds against hostile input, positions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orlop.provision.translate import translate
from orlop.provision.yamltree import MAX_DEPTH
from tests.unit.provision.texts import FCOS, findings, ignition, run


def partition(body: str) -> dict[str, Any]:
    """One partition with `body` as further keys."""
    found = ignition(f"storage: {{disks: [{{device: /dev/vdc, partitions: [{{number: 1, {body}}}]}}]}}")
    made = found["storage"]["disks"][0]["partitions"][0]
    assert isinstance(made, dict)
    return made


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("644", 644),
        ("0644", 0o644),
        ("0o644", 0o644),
        ("0O644", 0o644),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("+7", 7),
        ("0", 0),
        ("!!int 5", 5),
        ("!!int '5'", 5),
    ],
)
def test_numbers(text: str, value: int) -> None:
    assert partition(f"size_mib: {text}")["sizeMiB"] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0999", "size_mib is octal because it begins with 0, and 0999 is not a valid octal number"),
        ("1.0", "size_mib needs a whole number, not 1.0"),
        ("1e3", "size_mib needs a whole number, not 1e3"),
        ("'5'", "size_mib needs a number, not the text '5'"),
        ("five", "size_mib needs a number, not 'five'"),
        ("true", "size_mib needs a number, not 'true'"),
        ("-1", "size_mib cannot be negative"),
        ("9007199254740992", "size_mib is too large a number"),
        ("1" * 5000, "size_mib is too large a number"),
        ("[1]", "size_mib needs a single integer, not a list"),
        ("{a: 1}", "size_mib needs a single integer, not a mapping"),
    ],
)
def test_no_numbers(text: str, message: str) -> None:
    found = findings(f"storage: {{disks: [{{device: /dev/vdc, partitions: [{{number: 1, size_mib: {text}}}]}}]}}")
    assert [line.split(" ", 3)[3] for line in found] == [message]


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "yes", "on", "y", "Y", "'yes'", '"on"', "!!bool yes"])
def test_true(text: str) -> None:
    assert partition(f"resize: {text}")["resize"] is True


@pytest.mark.parametrize("text", ["false", "False", "FALSE", "no", "off", "n", "N", "'no'"])
def test_false(text: str) -> None:
    assert partition(f"resize: {text}")["resize"] is False


@pytest.mark.parametrize("text", ["'true'", "Yes", "ON", "1", "0", "!!str true", "maybe"])
def test_neither(text: str) -> None:
    found = findings(f"storage: {{disks: [{{device: /dev/vdc, partitions: [{{number: 1, resize: {text}}}]}}]}}")
    assert "resize needs true or false" in found[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("0123", "0123"),
        ("1.50", "1.50"),
        ("'null'", "null"),
        ("2020-01-01", "2020-01-01"),
        ("!!str 5", "5"),
    ],
)
def test_strings_are_as_they_stand(text: str, value: str) -> None:
    assert partition(f"label: {text}")["label"] == value


@pytest.mark.parametrize("text", ["~", "null", "Null", "NULL", "", "!!null x"])
def test_null_is_not_given(text: str) -> None:
    assert partition(f"label: {text}") == {"number": 1}


def test_merge_keys_and_aliases() -> None:
    found = ignition(
        """
        storage:
          files:
            - &first
              path: /etc/one
              mode: 0600
              contents: &text {inline: x}
            - <<: *first
              path: /etc/two
            - <<: [{path: /etc/no, mode: 0644}, *first]
              path: /etc/three
              contents: *text
        """
    )
    files = found["storage"]["files"]
    assert [(f["path"], f["mode"]) for f in files] == [("/etc/one", 0o600), ("/etc/two", 0o600), ("/etc/three", 0o644)]
    assert {f["contents"]["source"] for f in files} == {"data:,x"}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("a: 1\na: 2\n", "error 2:1 $ the key 'a' is given twice in one mapping"),
        ("a: *b\n", "error 1:4 $ nothing before this is anchored as &b"),
        ("a: &b [*b]\n", "error 1:8 $ *b stands inside what it names, so it would never end"),
        ("a: &b {c: {<<: *b}}\n", "error 1:16 $ *b stands inside what it names, so it would never end"),
        ("a: {<<: 5}\n", "error 1:5 $ << needs a mapping, or a list of mappings, to merge"),
        ("? [a]\n: b\n", "error 1:3 $ a key must be a single value, not a list"),
        ("? {a: b}\n: b\n", "error 1:3 $ a key must be a single value, not a mapping"),
        ("---\na: b\n", "error 1:1 $ a second YAML document begins here"),
        ("a: !!binary aGk=\n", "error 1:4 $ the tag !!binary is not supported"),
        ("a: !mine b\n", "error 1:4 $ the tag !mine is not supported"),
        ("storage:\n\tfiles: []\n", "error 2:1 $ not valid YAML: while scanning for the next token, "
         "found character that cannot start any token"),
        ("ü: \x07\n", "error 1:4 $ a character that YAML does not allow: U+0007"),
        ("a: [1, 2\n", "error 2:1 $ not valid YAML: while parsing a flow sequence, did not find expected ',' or ']'"),
    ],
)  # fmt: skip
def test_bad_yaml(body: str, line: str) -> None:
    assert findings(body) == [line]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the config is empty"),
        (b"# nothing\n", "the config is empty"),
        (b"---\n", "the config is empty"),
        (b"[]", "the config is not a mapping"),
        (b"text", "the config is not a mapping"),
        (b"\xff", "the config is not UTF-8 text"),
        (b"v: " + b"[" * 500, f"nested deeper than {MAX_DEPTH} levels"),
        (b"v: " + b"{a: " * 500, f"nested deeper than {MAX_DEPTH} levels"),
        (b"{" * 5000, "a key must be a single value, not a mapping"),
        (b"\n".join(b" " * n + b"a:" for n in range(500)), f"nested deeper than {MAX_DEPTH} levels"),
    ],
)
def test_not_a_config(raw: bytes, message: str) -> None:
    result = translate(raw)
    assert [e.message for e in result.report.entries] == [message]
    assert result.ignition is None


def test_byte_order_mark() -> None:
    assert translate(b"\xef\xbb\xbf" + FCOS.encode()).ignition == '{"ignition":{"version":"3.3.0"}}'


def test_position_of_what_is_not_utf8() -> None:
    entry = translate("variant: fcos\nü: ".encode() + b"\xff").report.entries[0]
    assert (entry.place.span.line, entry.place.span.column) == (2, 4)


def test_billion_laughs() -> None:
    """Lists of aliases of lists: as nodes they are few, as values they would be 10^12."""
    headers = ", ".join("{name: a, value: b}" for _ in range(1000))
    body = f"""
x: &headers [{headers}]
y: &resources [{", ".join(["{http_headers: *headers}"] * 1000)}]
storage:
  files: [{", ".join(["{path: /a, append: *resources}"] * 1000)}]
"""
    found = findings(body)
    assert any("too many values once its aliases are followed" in line for line in found)


def test_merging_without_end() -> None:
    """Each mapping merges all before it: keys would grow as the square."""
    lines = ["m0: &m0 {k0: 0}"] + [f"m{i}: &m{i} {{<<: *m{i - 1}, k{i}: 0}}" for i in range(1, 3000)]
    assert findings("\n".join(lines))[0].endswith("merging with << makes too many keys")


def test_unknown_keys_are_many() -> None:
    result = run("\n".join(f"key{n}: {n}" for n in range(5000)))
    assert result.report.warnings == 5000
    assert len(result.report.entries) == 200
    assert result.report.dropped == 4800


def test_order_is_that_of_ignition() -> None:
    result = run("storage: {files: [{mode: 0600, contents: {inline: x}, path: /a, overwrite: true}]}\nignition: {}\n")
    assert result.ignition is not None
    assert list(json.loads(result.ignition)["storage"]["files"][0]) == ["overwrite", "path", "contents", "mode"]
