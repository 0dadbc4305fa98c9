"""The short forms of `orlop`: the files they become, and what is refused."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests.unit.provision.test_sugar import decoded
from tests.unit.provision.texts import ORLOP, Memory, findings, ignition, run

KEY = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
    "-----END PUBLIC KEY-----\n"
)
CONTAINER = "[Container]\nImage=localhost/demo\n[Install]\nWantedBy=multi-user.target\n"


def files(body: str, local: Memory | None = None) -> dict[str, dict[str, Any]]:
    """Path → entry, with the decoded text as `text`."""
    found = ignition(body, ORLOP, local)["storage"]["files"]
    return {f["path"]: {**f, "text": decoded(f["contents"]).decode()} for f in found}


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
          checks:
            - {name: 10-web, contents: "#!/bin/sh\\nexit 0\\n"}
            - {name: 20-disk, contents_local: disk}
        """
    made = files(body, Memory({"disk": b"#! /usr/bin/env sh\ndf /\n"}))
    said = "# Written from `health` of this machine's configuration\nTIMEOUT=120\nSOAK=3600\n"
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
        (b"exit 0\n", "error this is no program: it does not begin with `#!`"),
        (b"", "error this is no program: it does not begin with `#!`"),
    ],
)
def test_program_of_a_health_check(text: bytes, message: str | None) -> None:
    body = "health: {checks: [{name: a, contents_local: a}]}"
    entries = run(body, ORLOP, Memory({"a": text})).report.entries
    assert [f"{e.severity.value} {e.message}" for e in entries] == ([message] if message else [])


def test_a_bad_health_setting_is_shown_where_it_is() -> None:
    (found,) = findings("health: {timeout: 60s,\n  soak: 5 min}", ORLOP)
    assert found == "error 2:9 $.health.soak soak cannot be '5 min'"


@pytest.mark.parametrize("length", ["9s", "5h", "5 min", "0s"])
def test_a_bad_length_between_checks_is_shown_where_it_is(length: str) -> None:
    (found,) = findings(f"update: {{channel: beta,\n  check_every: {length}}}", ORLOP)
    assert found.startswith("error 2:16 $.update.check_every check_every cannot be")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("bandwidth: 5", "bandwidth cannot be '5'"),
        ("bandwidth: 9k", "bandwidth cannot be '9k'"),
        ("proxy: https://p.example:3128", "proxy: it must be http://HOST:PORT"),
        ("proxy: p.example:3128", "proxy: it must be http://HOST:PORT"),
        ("no_proxy: ['a b']", "no_proxy: 'a b' is no host"),
    ],
)
def test_a_bad_proxy_or_bandwidth_is_shown_where_it_is(line: str, says: str) -> None:
    (found,) = findings(f"update:\n  {line}\n", ORLOP)
    assert found.startswith("error 2:") and says in found


def test_cluster_is_for_root_alone() -> None:
    made = files(
        f"""
        cluster:
          servers: [https://10.0.0.1:7443]
          token: 'a"\\b'
          ca_hash: sha256:{"0" * 64}
          roles: [server, worker]
          labels: [disk=ssd]
        """
    )["/etc/orlop/cluster.toml"]
    assert (made["mode"], made["user"], made["group"]) == (0o600, {"id": 0}, {"id": 0})
    assert tomllib.loads(made["text"])["token"] == 'a"\\b'
    assert tomllib.loads(made["text"])["roles"] == ["server", "worker"]


def test_trusted_keys() -> None:
    lines = "".join(f"          {line}\n" for line in KEY.splitlines())
    body = f"trust:\n  keys:\n    - name: mine\n      public_key: |\n{lines}    - {{name: other, local: k.pem}}\n"
    made = files(body, Memory({"k.pem": KEY.encode()}))
    assert made["/etc/orlop/keys.d/mine.pem"]["text"] == KEY
    assert made["/etc/orlop/keys.d/other.pem"]["text"] == KEY


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


CLUSTER = "servers: [https://a], token: t, ca_hash: 'sha256:" + "0" * 64 + "'"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("hostname: -a", "hostname cannot be '-a'"),
        ("hostname: a_b", "hostname cannot be 'a_b'"),
        ("hostname: " + ".".join(["a" * 60] * 2), "a host name has at most 64 characters"),
        ("update: {channel: Stable}", "channel cannot be 'Stable'"),
        ("update: {strategy: never}", "strategy cannot be 'never'"),
        ("update: {strategy: window}", "the strategy `window` needs a window"),
        ("update: {window: {start: '02:00', minutes: 5}}", "the window has no effect"),
        ("update: {strategy: window, window: {start: '2:00', minutes: 5}}", "start cannot be '2:00'"),
        ("update: {strategy: window, window: {start: '02:00', minutes: 0}}", "a window is open for 1 to 1440 minutes"),
        ("update: {strategy: window, window: {start: '02:00'}}", "minutes is missing"),
        ("update: {strategy: window, window: {start: '02:00', minutes: 5, days: [Mon]}}", "days cannot be 'Mon'"),
        (
            "update: {strategy: window, window: {start: '02:00', minutes: 5, timezone: '../x'}}",
            "timezone cannot be '../x'",
        ),
        ("update: {pin: '1.2'}", "pin cannot be '1.2'"),
        ("update: {urls: [ftp://a]}", "urls: it must begin with http:// or https://"),
        ("update: {urls: ['https://a', 'https://a']}", "'https://a' is given twice"),
        ("update: {lock: {group: a}}", "url is missing"),
        ("update: {lock: {url: x}}", "url: it has no scheme"),
        ("update: {lock: {url: 'http://h:99999/'}}", "url: the port is no number up to 65535"),
        (
            "update: {lock: {url: 'http://h/é'}}",
            "url: it holds a space or a character beyond ASCII: write a host as xn--…, others as %XX",
        ),
        (
            "update: {urls: ['https://höst']}",
            "urls: it holds a space or a character beyond ASCII: write a host as xn--…, others as %XX",
        ),
        ("update: {urls: ['https://h:99999']}", "urls: the port is no number up to 65535"),
        ("update: {urls: ['https://[1.2.3.4]']}", "urls: the address in brackets is malformed"),
        ("update: {proxy: 'http://a..b'}", "proxy: it must be http://HOST:PORT"),
        ("health: {timeout: 60}", "timeout cannot be '60'"),
        ("health: {timeout: 0s}", "timeout cannot be '0s'"),
        ("health: {timeout: 11m}", "timeout cannot be '11m'"),
        ("health: {timeout: 1m30s}", "timeout cannot be '1m30s'"),
        ("health: {soak: '5m; reboot'}", "soak cannot be '5m; reboot'"),
        ("health: {soak: 25h}", "soak cannot be '25h'"),
        ("health: {soak: -1s}", "soak cannot be '-1s'"),
        ("health: {checks: [{name: a}]}", "contents is missing"),
        ("health: {checks: [{name: ../a, contents: '#!/bin/sh'}]}", "name cannot be '../a'"),
        ("health: {checks: [{name: .a, contents: '#!/bin/sh'}]}", "name cannot be '.a'"),
        ("health: {checks: [{name: a, contents: x, contents_local: y}]}", "contents and contents_local are both given"),
        (
            "health: {checks: [{name: a, contents: '#!/bin/sh'}, {name: a, contents: '#!/bin/sh'}]}",
            "'a' is given twice",
        ),
        ("cluster: {token: a}", "servers is missing"),
        ("cluster: {" + CLUSTER.replace("https", "http") + "}", "servers: it must begin with https://"),
        ("cluster: {" + CLUSTER.replace("sha256", "md5") + "}", "ca_hash cannot be 'md5:" + "0" * 56 + "'"),
        (
            "cluster: {" + CLUSTER.replace("token: t", "token: a b") + "}",
            "a token has no spaces and at most 512 characters",
        ),
        ("cluster: {" + CLUSTER + ", labels: [a]}", "'a' is no label"),
        ("cluster: {" + CLUSTER + ", roles: [king]}", "roles cannot be 'king'"),
        ("trust: {keys: [{name: a}]}", "public_key is missing"),
        ("trust: {keys: [{name: a, public_key: x}]}", "this is no Ed25519 public key in PEM"),
        ("trust: {keys: [{name: a, public_key: x, local: y}]}", "public_key and local are both given"),
        ("trust: {keys: [{name: ../a, local: k}]}", "name cannot be '../a'"),
        ("quadlets: [{name: a.txt, contents: x}]", "'a.txt' is no Quadlet file"),
        ("quadlets: [{name: ../a.container, contents: x}]", "'../a.container' is no Quadlet file"),
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
    found = findings(body, ORLOP, Memory({"k": KEY.encode(), "x": b"[Volume]"}))
    assert message in [line.split(" ", 3)[3] for line in found]


def test_paths_that_only_look_like_system_paths() -> None:
    assert findings("storage: {files: [{path: /usrlocal}, {path: /etc/usr/x}]}", ORLOP) == []
