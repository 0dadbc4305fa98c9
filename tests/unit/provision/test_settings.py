"""The short forms of `orlop`: the files they become, and what is refused."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from orlop.model.settings.document import UNREAD
from simulators.repository import RepositorySimulator
from tests.unit.provision.test_sugar import decoded
from tests.unit.provision.texts import ORLOP, Memory, findings, ignition, run

PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
    "-----END PUBLIC KEY-----\n"
)
CONTAINER = "[Container]\nImage=localhost/demo\n[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture(scope="module")
def root() -> bytes:
    return RepositorySimulator().first_root


def files(body: str, local: Memory | None = None) -> dict[str, dict[str, Any]]:
    """Path → entry, with the decoded text as `text`."""
    found = ignition(body, ORLOP, local)["storage"]["files"]
    return {f["path"]: {**f, "text": decoded(f["contents"]).decode()} for f in found}


def matches(message: str, said: str) -> bool:
    """`…` stands for anything: for what the table says a value must be."""
    return re.fullmatch(re.escape(message).replace("…", ".*"), said) is not None


def test_hostname() -> None:
    made = files("hostname: node1.example.com")
    assert made["/etc/hostname"]["text"] == "node1.example.com\n"
    assert made["/etc/hostname"]["mode"] == 0o644


def test_update() -> None:
    made = files(
        """
        update:
          channel: beta
          urls: [https://a/, https://b/]
          group: web
          pin: 20261123.1
          strategy: window
          window: {days: [sat, sun], start: '02:30', minutes: 90, timezone: Europe/Berlin}
          lock: {url: 'https://lock:8080', group: web}
        """
    )["/etc/orlop/update.toml"]
    assert made["mode"] == 0o644
    assert tomllib.loads(made["text"]) == {
        "format": 1,
        "channel": "beta",
        "urls": ["https://a/", "https://b/"],
        "group": "web",
        "pin": "20261123.1",
        "strategy": "window",
        "window": {"days": ["sat", "sun"], "start": "02:30", "minutes": 90, "timezone": "Europe/Berlin"},
        "lock": {"url": "https://lock:8080", "group": "web"},
    }


def test_only_what_was_given_is_written() -> None:
    assert tomllib.loads(files("update: {channel: stable}")["/etc/orlop/update.toml"]["text"]) == {
        "format": 1,
        "channel": "stable",
    }


def test_health() -> None:
    body = """
        health:
          timeout: 2m
          soak: 1h
          wait: 5m
          checks:
            - {name: 10-web, contents: "#!/bin/sh\\nexit 0\\n"}
            - {name: 20-disk, contents_local: disk}
        """
    made = files(body, Memory({"disk": b"#! /usr/bin/env sh\ndf /\n"}))
    said = "# Written from `health` of this machine's configuration\nTIMEOUT=120\nSOAK=3600\nWAIT=300\n"
    assert (made["/etc/orlop/health.conf"]["text"], made["/etc/orlop/health.conf"]["mode"]) == (said, 0o644)
    web, disk = made["/etc/orlop/health.d/10-web"], made["/etc/orlop/health.d/20-disk"]
    assert (web["text"], web["mode"]) == ("#!/bin/sh\nexit 0\n", 0o755)
    assert disk["text"] == "#! /usr/bin/env sh\ndf /\n"


def test_health_settings_not_given_are_the_machines() -> None:
    assert files("health: {soak: 0s}")["/etc/orlop/health.conf"]["text"].splitlines()[1:] == ["SOAK=0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"#!/bin/sh\n", None),
        (b"#! /usr/bin/sh -eu\n", None),
        (b"\x7fELF\x02\xff", None),
        (b"#!/bin/bash\n", "warning the image has no interpreter '/bin/bash'"),
        (b"#!/usr/bin/env python3\n", "warning the image has no interpreter '/usr/bin/env python3'"),
        (b"exit 0\n", "error this is not a program: it must begin with `#!`"),
        (b"", "error this is not a program: it must begin with `#!`"),
    ],
)
def test_program_of_a_health_check(text: bytes, message: str | None) -> None:
    body = "health: {checks: [{name: a, contents_local: a}]}"
    entries = run(body, ORLOP, Memory({"a": text})).report.entries
    assert [f"{e.severity.value} {e.message}" for e in entries] == ([message] if message else [])


def test_a_bad_health_setting_is_shown_where_it_is() -> None:
    (found,) = findings("health: {timeout: 60s,\n  soak: 5 min}", ORLOP)
    assert matches("error 2:9 $.health.soak soak must be …, not '5 min'", found)


@pytest.mark.parametrize("length", ["9s", "5h", "5 min", "0s"])
def test_a_bad_length_between_checks_is_shown_where_it_is(length: str) -> None:
    (found,) = findings(f"update: {{channel: beta,\n  check_every: {length}}}", ORLOP)
    assert found.startswith(
        "error 2:16 $.update.check_every check_every must be a number and s, m or h, from 10s to 4h, not"
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("bandwidth: 5", "bandwidth must be …, not '5'"),
        ("bandwidth: 9k", "bandwidth must be …, not '9k'"),
        ("proxy: https://p.example:3128", "proxy must be …: the proxy itself is spoken to in http"),
        ("proxy: p.example:3128", "proxy must be …"),
        ("no_proxy: ['a b']", "no_proxy must be …, not 'a b'"),
    ],
)
def test_a_bad_proxy_or_bandwidth_is_shown_where_it_is(line: str, says: str) -> None:
    (found,) = findings(f"update:\n  {line}\n", ORLOP)
    assert matches(f"error 2:… {says}", found)


def test_the_root_keys_of_a_repository(root: bytes) -> None:
    """In the text, or in a file: the machine gets the very bytes, and whoever signed them counts."""
    inline = files(f"trust: {{root: {json.dumps(root.decode())}}}")
    local = files("trust: {root_local: root.json}", Memory({"root.json": root}))
    assert inline.keys() == local.keys() == {"/etc/orlop/root.json"}
    for made in (inline["/etc/orlop/root.json"], local["/etc/orlop/root.json"]):
        assert (made["text"].encode(), made["mode"]) == (root, 0o644)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: b"", "the metadata of root cannot be read"),
        (lambda raw: raw[:-1], "the metadata of root cannot be read"),
        (lambda raw: raw.replace(b'"version":1', b'"version":2'), "root 2 is signed by 0 of the 1 keys it needs"),
        (lambda raw: raw + b" " * (1 << 18), "at most 262144 are read"),
        (lambda _: PEM.encode(), "the metadata of root cannot be read"),
    ],
)
def test_what_holds_no_root_keys_is_refused(root: bytes, change: Callable[[bytes], bytes], says: str) -> None:
    (found,) = findings("trust: {root_local: root.json}", ORLOP, Memory({"root.json": change(root)}))
    assert found.startswith("error 1:21 $.trust.root_local these are not the root keys of a repository: ")
    assert says in found


@pytest.mark.parametrize(("body", "path"), [("trust:\n  keys: [{name: a}]", "$.trust.keys")])
def test_what_nobody_would_read_is_refused_with_what_to_do(body: str, path: str) -> None:
    entry = run(body, ORLOP).report.entries[0]
    assert (entry.place.path, entry.message) == (
        path,
        f"{path.rpartition('.')[2]} is not supported: nothing would read it",
    )
    assert entry.hint == UNREAD[path.removeprefix("$.")]


def test_role_in_a_cluster_is_told_what_it_lacks_and_must_not_have() -> None:
    body = "cluster: {name: a, role: worker, servers: [a], ca_key: '-----BEGIN A-----\\nAAAA\\n-----END A-----'}"
    assert [found.partition("$")[2] for found in findings(body.replace("'", '"'), ORLOP)] == [
        ".cluster.token a worker needs token",
        ".cluster.ca_key a worker must not have ca_key",
    ]


def test_quadlets() -> None:
    body = """
        quadlets:
          - {name: web.container, contents_local: web, dropins: [{name: 10-a.conf, contents: "[Service]\\nNice=1"}]}
          - {name: data.volume, contents: "[Volume]"}
          - {name: app@.container, dropins: [{name: b.conf}]}
        storage: {files: [{path: /etc/motd}]}
        """
    web = Memory({"web": CONTAINER.encode()})
    found = {f["path"]: f for f in ignition(body, ORLOP, web)["storage"]["files"]}
    assert list(found) == [
        "/etc/motd",
        "/etc/containers/systemd/web.container",
        "/etc/containers/systemd/web.container.d/10-a.conf",
        "/etc/containers/systemd/data.volume",
        "/etc/containers/systemd/app@.container.d/b.conf",
    ]
    assert decoded(found["/etc/containers/systemd/web.container"]["contents"]).decode() == CONTAINER


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Volume]\\nX=1", "error a.container has no [Container] section with options"),
        ("[Container]\\nX=1", "error a.container has no Image or Rootfs in [Container]"),
        ("[Container]\\nImage=x", "warning a.container has no [Install] section, so it is not started at boot"),
        ("[Container]\\nImage=x\\nPod=p.pod", None),
        ("[Container", "error line 1 of the Quadlet file: a section name is not closed by ]"),
    ],
)
def test_text_of_a_quadlet(text: str, message: str | None) -> None:
    entries = run(f'quadlets: [{{name: a.container, contents: "{text}"}}]', ORLOP).report.entries
    assert [f"{e.severity.value} {e.message}" for e in entries] == ([message] if message else [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("hostname: -a", "hostname must be …, not '-a'"),
        ("hostname: a_b", "hostname must be …, not 'a_b'"),
        ("hostname: " + ".".join(["a" * 60] * 2), "hostname must be …, at most 64 characters, not …"),
        ("update: {channel: Stable}", "channel must be …, not 'Stable'"),
        ("update: {strategy: never}", "strategy cannot be 'never'"),
        ("update: {strategy: window}", "strategy cannot be window without a window"),
        ("update: {window: {start: '02:00', minutes: 5}}", "the window has no effect"),
        ("update: {strategy: window, window: {start: '2:00', minutes: 5}}", "start must be …, not '2:00'"),
        (
            "update: {strategy: window, window: {start: '02:00', minutes: 0}}",
            "minutes must be 1 to 10080 minutes, not 0",
        ),
        ("update: {strategy: window, window: {start: '02:00'}}", "minutes is missing"),
        ("update: {strategy: window, window: {start: '02:00', minutes: 5, days: [Mon]}}", "days cannot be 'Mon'"),
        (
            "update: {strategy: window, window: {start: '02:00', minutes: 5, timezone: '../x'}}",
            "timezone must be …, not '../x'",
        ),
        ("update: {pin: 20261301.1}", "pin must be a version such as 20261123.1, not '20261301.1'"),
        ("update: {pin: 20260231.1}", "pin must be …, not '20260231.1'"),
        ("update: {pin: 20260000.1}", "pin must be …, not '20260000.1'"),
        ("update: {pin: 20261231.01}", "pin must be …, not '20261231.01'"),
        ("update: {channel: root}", "channel must be …, and none of root, targets, snapshot, timestamp, not 'root'"),
        (
            "update: {strategy: window, window: {start: '02:00', minutes: 5, timezone: Europe/Berlinn}}",
            "timezone must be a time zone of the image, such as UTC or Europe/Berlin, not 'Europe/Berlinn'",
        ),
        (
            "update: {urls: [" + ", ".join(f"'http://a/{n}'" for n in range(17)) + "]}",
            "urls has 17 entries, at most 16 …",
        ),
        ("update: {urls: ['file://host/a']}", "urls must be …"),
        ("update: {pin: '1.2'}", "pin must be …, not '1.2'"),
        ("update: {urls: [ftp://a]}", "urls must be …: it must begin with http:// or https://"),
        ("update: {urls: ['https://a', 'https://a']}", "'https://a' is given twice"),
        ("update: {lock: {group: a}}", "url is missing"),
        ("update: {lock: {url: x}}", "url must be …: it must begin with http:// or https://"),
        ("update: {lock: {url: 'http://h:99999/'}}", "url must be …: the port must be a number up to 65535"),
        (
            "update: {lock: {url: 'http://h/é'}}",
            "url must be …: it holds a space or a character beyond ASCII: write a host as xn--…, others as %XX",
        ),
        (
            "update: {urls: ['https://höst']}",
            "urls must be …: it holds a space or a character beyond ASCII: write a host as xn--…, others as %XX",
        ),
        ("update: {urls: ['https://h:99999']}", "urls must be …: the port must be a number up to 65535"),
        ("update: {urls: ['https://[1.2.3.4]']}", "urls must be …: the address in brackets is malformed"),
        (
            "update: {proxy: 'http://a..b'}",
            "proxy must be …: a part of the host name is empty or longer than 63 characters",
        ),
        ("health: {timeout: 60}", "timeout must be …, not '60'"),
        ("health: {timeout: 0s}", "timeout must be …, not '0s'"),
        ("health: {timeout: 11m}", "timeout must be …, not '11m'"),
        ("health: {timeout: 1m30s}", "timeout must be …, not '1m30s'"),
        ("health: {soak: '5m; reboot'}", "soak must be …, not '5m; reboot'"),
        ("health: {soak: 25h}", "soak must be …, not '25h'"),
        ("health: {wait: 25h}", "wait must be …, not '25h'"),
        ("health: {soak: -1s}", "soak must be …, not '-1s'"),
        ("health: {checks: [{name: a}]}", "contents is missing"),
        ("health: {checks: [{name: ../a, contents: '#!/bin/sh'}]}", "name must be …, not '../a'"),
        ("health: {checks: [{name: .a, contents: '#!/bin/sh'}]}", "name must be …, not '.a'"),
        ("health: {checks: [{name: a, contents: x, contents_local: y}]}", "contents and contents_local are both given"),
        (
            "health: {checks: [{name: a, contents: '#!/bin/sh'}, {name: a, contents: '#!/bin/sh'}]}",
            "'a' is given twice",
        ),
        ("trust: {}", "root is missing"),
        ("trust: {root: x, root_local: y}", "root and root_local are both given"),
        ("quadlets: [{name: a.txt, contents: x}]", "'a.txt' is not a valid name of a Quadlet file"),
        ("quadlets: [{name: ../a.container, contents: x}]", "'../a.container' is not a valid name of a Quadlet file"),
        ("quadlets: [{name: a.container}]", "contents is missing"),
        (
            "quadlets: [{name: a.volume, contents: '[Volume]', contents_local: x}]",
            "contents and contents_local are both given",
        ),
        ("quadlets: [{name: a.volume, dropins: [{name: x}]}]", "'x' does not end in .conf"),
        ("hostname: a\nstorage: {files: [{path: /etc/hostname}]}", "'/etc/hostname' is given twice"),
        (
            "storage: {files: [{path: /usr/bin/x}]}",
            "nothing can be put at /usr/bin/x: /usr is read-only and checked by dm-verity",
        ),
        (
            "storage: {links: [{path: /bin, target: x}]}",
            "nothing can be put at /bin: /bin is part of /usr, which is read-only",
        ),
        (
            "storage: {links: [{path: /etc/selinux, target: /var/mine}]}",
            "nothing can be put at /etc/selinux: /etc/selinux leads to the SELinux policy of the image",
        ),
        (
            "storage: {directories: [{path: /run/x}]}",
            "nothing can be put at /run/x: /run is made anew when the system starts",
        ),
        (
            "storage: {filesystems: [{device: /dev/vdb, path: /usr/x, format: ext4, with_mount_unit: true}]}",
            "nothing can be put at /usr/x: /usr is read-only and checked by dm-verity",
        ),
        (
            "storage: {filesystems: [{device: /dev/vdb, path: /var, format: ext4}]}",
            "nothing can be mounted at /var: it is a file system of the system's own, made at the first boot",
        ),
        (
            "storage: {filesystems: [{device: /dev/vdb, path: /, format: ext4, with_mount_unit: true}]}",
            "nothing can be mounted at /: it is made anew at every boot",
        ),
    ],
)
def test_refused(body: str, message: str) -> None:
    found = findings(body, ORLOP, Memory({"x": b"[Volume]"}))
    assert any(matches(message, line.split(" ", 3)[3]) for line in found), found


def test_paths_that_only_look_like_system_paths() -> None:
    assert findings("storage: {files: [{path: /usrlocal}, {path: /etc/usr/x}]}", ORLOP) == []
