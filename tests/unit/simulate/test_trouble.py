"""What Ignition says, in the words of the user's own config."""

from __future__ import annotations

import pytest

from orlop.provision.report import Report
from orlop.provision.translate import translate
from orlop.simulate.trouble import HINTS, failure, findings, hint, sentence

LAYERED = (
    "INFO     : x\n"
    "CRITICAL : Ignition failed: failed to create users/groups: failed to configure users: "
    'failed to create user "a": exit status 6: Cmd: "useradd" "--root" "/sysroot" "a" '
    'Stdout: "" Stderr: "useradd: group \'nope\' does not exist\\n"\n'
)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (LAYERED, "failed to create user \"a\": useradd: group 'nope' does not exist"),
        ("CRITICAL : Ignition failed: config is not valid", "config is not valid"),
        (
            "CRITICAL : Ignition failed: failed to create files: error creating /sysroot/etc/x: no",
            "no",
        ),
        ("panic: x", "panic: x"),
        ("", "it said nothing"),
    ],
)
def test_sentence(log: str, expected: str) -> None:
    assert sentence(log) == expected


def test_findings() -> None:
    report = Report()
    said = (
        "CRITICAL : error at $.storage.files.0.path, line 1 col 61: path not absolute\n"
        "WARNING  : warning at $.x, line 2 col 9: Unused key x\n"
        "error at line 0 col 0: unexpected end of JSON input\n"
    )
    findings(said + said, report)
    assert [(e.severity.value, e.place.path, e.place.span.line, e.place.span.column) for e in report.entries] == [
        ("error", "$.storage.files.0.path", 1, 61),
        ("warning", "$.x", 2, 9),
        ("error", "$", 1, 1),
    ]


CONFIG = """variant: fcos
version: 1.4.0
passwd:
  users:
    - name: a
    - name: etc
storage:
  files:
    - path: /etc/a
    - path: /etc/a.conf
    - path: /etc/a/b
"""


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ('failed to create user "a": no', 5),
        ("error creating /sysroot/etc/a: no", 9),
        ('error creating "/sysroot/etc/a.conf": no', 10),
        ("lstat /sysroot/etc/a/b: not a directory", 11),
        ("something else", 1),
    ],
)
def test_the_line_that_is_blamed(said: str, line: int) -> None:
    report = Report()
    failure("files", f"CRITICAL : Ignition failed: {said}", translate(CONFIG.encode()).root, report)
    (entry,) = report.entries
    assert entry.place.span.line == line
    assert entry.message.startswith("the stage files fails: ")
    assert entry.hint


def test_without_the_users_own_text() -> None:
    report = Report()
    failure("fetch", "CRITICAL : Ignition failed: dial tcp: lookup x: no such host", None, report)
    (entry,) = report.entries
    assert (entry.place.path, entry.hint) == ("$", dict(HINTS)[next(p for p, _ in HINTS if p.startswith("dial"))])


def test_no_hint_is_still_one() -> None:
    assert "--log" in hint("never heard")
