"""What a config that Ignition cannot apply is told: the stage, the place in the config, the reason, what to do."""

from __future__ import annotations

import functools

import pytest

from orlop.image.unpacked import Base
from orlop.simulate.run import Config, Simulation, simulate
from orlop.workspace import Workspace

pytestmark = pytest.mark.sdk


# body, the place that is blamed, words of the message, words of the hint
FAILING = [
    ("passwd: {users: [{name: a, shell: /bin/sh}, {name: b, groups: [nope]}]}", "$.passwd.users.1", "'nope'", "groups"),
    ("passwd: {users: [{name: a, uid: 1}]}", "$.passwd.users.0", "UID 1 is not unique", "another number"),
    ("passwd: {groups: [{name: a, gid: 1}]}", "$.passwd.groups.0", "already exists", "another number"),
    ("storage: {files: [{path: /etc/a}, {path: /etc/b, user: {name: nope}}]}", "$.storage.files.1", "nope", "by id"),
    ("storage: {files: [{path: /etc/passwd/x}]}", "$.storage.files.0", "not a directory", "is a file"),
    (
        "storage: {files: [{path: /etc/passwd, contents: {inline: x}}]}",
        "$.storage.files.0",
        "exists",
        "overwrite: true",
    ),
    ("storage: {files: [{path: /usr/bin/x}]}", "$.storage.files.0", "read-only", "never changes"),
    ("storage: {directories: [{path: /etc/passwd}]}", "$.storage.directories.0", "exists", "overwrite: true"),
    ("storage: {links: [{path: /etc/passwd, target: x}]}", "$.storage.links.0", "exists", "overwrite: true"),
    ("storage: {links: [{path: /etc/a, target: /etc/no, hard: true}]}", "$.storage.links.0", "no such file", ""),
    (
        "storage: {files: [{path: /etc/a, contents: {source: 'data:,x', compression: gzip}}]}",
        "$.storage.files.0",
        "EOF",
        "compression",
    ),
]


@pytest.mark.parametrize(("body", "path", "message", "hint"), FAILING)
def test_a_stage_that_fails(
    tried: functools.partial[Simulation], body: str, path: str, message: str, hint: str
) -> None:
    outcome = tried(body)
    assert outcome.machine is None
    (entry,) = outcome.report.entries
    assert entry.place.path == path
    assert entry.message.startswith("the stage files fails: ")
    assert message in entry.message
    assert hint in entry.hint
    assert "/sysroot" not in entry.message


def test_a_merged_config_that_is_not_ignition(tried: functools.partial[Simulation]) -> None:
    outcome = tried("ignition: {config: {merge: [{inline: 'variant: fcos'}]}}")
    assert outcome.machine is None
    (entry,) = outcome.report.entries
    assert entry.message.startswith(("the stage fetch-offline fails: ", "Ignition: "))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"ignition": {"version": "3.3.0"},\n "storage": {"files": [{"path": "x"}]}}', 2, "path not absolute"),
        ('{"ignition": {"version": "2.3.0"}}', 1, "unsupported config version"),
        ('{"ignition": ', 1, "unexpected end"),
        ("[1]", 1, "cannot unmarshal"),
    ],
)
def test_ignition_that_is_wrong(ws: Workspace, base: Base, text: str, line: int, message: str) -> None:
    outcome = simulate(ws, base, Config("node.ign", text))
    assert outcome.machine is None
    assert any(message in e.message and e.place.span.line == line for e in outcome.report.entries), (
        outcome.report.entries,
        outcome.log,
    )
