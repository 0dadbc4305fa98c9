"""What Butane has and Ignition has not: contents, trees, mount units."""

from __future__ import annotations

import base64
import gzip
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.model.words.unitname import unit_name
from orlop.provision.local import LocalNode, NodeKind
from orlop.provision.rules.urls import data_problem
from orlop.provision.sugar.resources import data_url
from tests.unit.provision.texts import FCOS, Memory, findings, ignition, run


def decoded(resource: dict[str, Any]) -> bytes:
    """What a machine would write for a resource with a data URL."""
    head, _, data = resource["source"].partition(",")
    raw = base64.b64decode(data) if head.endswith(";base64") else urllib.parse.unquote_to_bytes(data)
    return gzip.decompress(raw) if resource.get("compression") == "gzip" else raw


@given(st.binary(max_size=300) | st.binary(max_size=5).map(lambda b: b * 100))
def test_data_urls_hold_what_was_given(data: bytes) -> None:
    url, compression = data_url(data)
    assert data_problem(url) == ""
    assert decoded({"source": url, "compression": compression}) == data
    assert len(url) <= len("data:;base64,") + (len(data) + 2) // 3 * 4


@pytest.mark.parametrize(
    ("text", "source", "compression"),
    [
        ("x", "data:,x", ""),
        ("", "data:,", ""),
        ("a b\n", "data:,a%20b%0A", ""),
        ("ü", "data:,%C3%BC", ""),
        ("\x00\x01\x02\x03" * 4, "data:;base64,AAECAwABAgMAAQIDAAECAw==", ""),
    ],
)
def test_shortest_form(text: str, source: str, compression: str) -> None:
    assert data_url(text.encode()) == (source, compression)


def test_long_text_is_compressed_the_same_every_time() -> None:
    first, second = data_url(b"hello " * 100), data_url(b"hello " * 100)
    assert first == second
    assert first[1] == "gzip"


def test_inline_and_local() -> None:
    files = Memory({"motd": b"local\n"})
    body = """
        ignition:
          config: {merge: [{local: motd}], replace: {inline: '{}'}}
          security: {tls: {certificate_authorities: [{inline: PEM}]}}
        storage:
          files:
            - path: /a
              contents: {local: motd}
              append: [{inline: one}, {local: motd}, {source: 'http://a'}, {inline: one}]
        """
    found = ignition(body, files=files)
    file = found["storage"]["files"][0]
    assert file["contents"] == {"source": "data:,local%0A", "compression": ""}
    assert [r["source"] for r in file["append"]] == ["data:,one", "data:,local%0A", "http://a", "data:,one"]
    assert found["ignition"]["config"]["merge"] == [{"source": "data:,local%0A", "compression": ""}]
    assert found["ignition"]["config"]["replace"] == {"source": "data:,%7B%7D", "compression": ""}
    assert found["ignition"]["security"]["tls"]["certificateAuthorities"][0]["source"] == "data:,PEM"


def test_contents_compressed_by_the_user_stay_as_they_are() -> None:
    packed = gzip.compress(b"x" * 5000)
    body = "storage: {files: [{path: /a, contents: {local: f.gz, compression: gzip}}]}"
    contents = ignition(body, files=Memory({"f.gz": packed}))["storage"]["files"][0]["contents"]
    assert contents["compression"] == "gzip"
    assert decoded(contents) == b"x" * 5000


def test_a_fitting_hash_is_kept() -> None:
    digest = "sha256-2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of x
    body = f"storage: {{files: [{{path: /a, contents: {{inline: x, verification: {{hash: {digest}}}}}}}]}}"
    assert ignition(body)["storage"]["files"][0]["contents"]["verification"] == {"hash": digest}


def test_missing_local_file_points_at_its_name() -> None:
    body = "storage: {files: [{path: /a, overwrite: true, contents: {local: no}}]}"
    assert findings(body, files=Memory({})) == [
        "error 1:65 $.storage.files.0.contents.local 'no' cannot be read: there is no such file"
    ]


TREE = {
    "etc": [
        LocalNode("a/plain", NodeKind.FILE, b"plain"),
        LocalNode("a/run", NodeKind.FILE, b"#!", executable=True),
        LocalNode("link", NodeKind.LINK, target="a/plain"),
    ]
}


def test_trees() -> None:
    found = ignition("storage: {trees: [{local: etc, path: /etc}]}", files=Memory({}, TREE))["storage"]
    assert found == {
        "files": [
            {"path": "/etc/a/plain", "contents": {"compression": "", "source": "data:,plain"}, "mode": 0o644},
            {"path": "/etc/a/run", "contents": {"compression": "", "source": "data:,%23!"}, "mode": 0o755},
        ],
        "links": [{"path": "/etc/link", "target": "a/plain"}],
    }


def test_tree_goes_to_the_root_and_fills_entries() -> None:
    body = """
        storage:
          files: [{path: /a/run, mode: 0700, user: {name: core}}]
          links: [{path: /link, user: {id: 1}}]
          trees: [{local: etc}]
        """
    found = ignition(body, files=Memory({}, TREE))["storage"]
    assert [(f["path"], f["mode"]) for f in found["files"]] == [("/a/run", 0o700), ("/a/plain", 0o644)]
    assert found["files"][0]["user"] == {"name": "core"}
    assert found["links"] == [{"path": "/link", "user": {"id": 1}, "target": "a/plain"}]


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (
            "files: [{path: /a/run, contents: {inline: x}}]",
            "the tree has a file at /a/run, and line 3 says what is there",
        ),
        ("directories: [{path: /a/run}]", "the tree has a file at /a/run, and line 3 says what is there"),
        ("links: [{path: /a/run, target: x}]", "the tree has a file at /a/run, and line 3 says what is there"),
        ("links: [{path: /link, target: x}]", "the tree has a link at /link, and line 3 says what is there"),
        ("files: [{path: /link}]", "the tree has a link at /link, and line 3 says what is there"),
    ],
)
def test_tree_meets_something(there: str, message: str) -> None:
    found = findings(f"storage: {{ {there}, trees: [{{local: etc}}]}}", files=Memory({}, TREE))
    assert [line.split(" ", 3)[3] for line in found] == [message]


def test_two_trees_with_the_same_file() -> None:
    found = findings("storage: {trees: [{local: etc}, {local: etc}]}", files=Memory({}, TREE))
    assert len(found) == 1 + 2  # each file and the link


def test_tree_with_something_else_in_it() -> None:
    files = Memory({}, {"t": [LocalNode("fifo", NodeKind.OTHER)]})
    assert "'fifo' is neither file, folder nor link" in findings("storage: {trees: [{local: t}]}", files=files)[0]


MOUNT = """\
# Made from with_mount_unit
[Unit]
Requires=systemd-fsck@dev-disk-by\\x2dlabel-data.service
After=systemd-fsck@dev-disk-by\\x2dlabel-data.service

[Mount]
Where=/var/my%%data
What=/dev/disk/by-label/data
Type=ext4
Options=noatime,ro

[Install]
RequiredBy=local-fs.target
"""


def test_mount_unit() -> None:
    body = """
        storage:
          filesystems:
            - device: /dev/disk/by-label/data
              path: /var/my%data
              format: ext4
              mount_options: [noatime, ro]
              with_mount_unit: true
        systemd:
          units: [{name: other.service}]
        """
    found = ignition(body)
    assert found["systemd"]["units"] == [
        {"name": "var-my\\x25data.mount", "enabled": True, "contents": MOUNT},
        {"name": "other.service"},
    ]
    assert "with" not in str(found["storage"])


def test_swap_unit() -> None:
    unit = ignition("storage: {filesystems: [{device: /dev/vdb, format: swap, with_mount_unit: true}]}")
    assert unit["systemd"]["units"][0]["name"] == "dev-vdb.swap"
    assert "[Swap]\nWhat=/dev/vdb\n\n[Install]\nRequiredBy=swap.target" in unit["systemd"]["units"][0]["contents"]


@pytest.mark.parametrize("device", ["/dev/mapper/data", "/dev/disk/by-id/dm-name-data"])
def test_mount_over_the_network(device: str) -> None:
    body = f"""
        storage:
          luks: [{{name: data, device: /dev/vdb, clevis: {{tang: [{{url: 'http://tang', thumbprint: x}}]}}}}]
          filesystems: [{{device: {device}, path: /var/data, format: xfs, with_mount_unit: true}}]
        """
    text = ignition(body)["systemd"]["units"][0]["contents"]
    assert "Options=_netdev\n" in text
    assert "RequiredBy=remote-fs.target\n" in text


def test_own_unit_wins_over_the_made_one() -> None:
    body = """
        storage: {filesystems: [{device: /dev/vdb, path: /var/x, format: none, with_mount_unit: true}]}
        systemd: {units: [{name: var-x.mount, enabled: false, dropins: [{name: a.conf}]}]}
        """
    unit = ignition(body)["systemd"]["units"]
    assert len(unit) == 1
    assert (unit[0]["enabled"], unit[0]["dropins"]) == (False, [{"name": "a.conf"}])
    assert "Type=" not in unit[0]["contents"]


@pytest.mark.parametrize(
    ("filesystem", "message"),
    [
        ("device: /a, path: /b", "with_mount_unit needs the format of the file system"),
        ("device: /a, format: ext4", "with_mount_unit needs the path to mount at"),
        ('device: /a, format: ext4, path: "/b\\nx"', "path cannot be written into a unit"),
        ('device: /a, format: ext4, path: /b, mount_options: ["a\\n"]', "mount_options cannot be written into a unit"),
    ],
)
def test_no_mount_unit(filesystem: str, message: str) -> None:
    found = findings(f"storage: {{filesystems: [{{with_mount_unit: true, {filesystem}}}]}}")
    assert message in [line.split(" ", 3)[3] for line in found]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "-"),
        ("/var/lib", "var-lib"),
        ("//var//lib/", "var-lib"),
        ("/a-b", "a\\x2db"),
        ("/.x/.y", "\\x2ex-.y"),
        ("/ü", "\\xc3\\xbc"),
        ("/a b", "a\\x20b"),
    ],
)
def test_unit_names(path: str, name: str) -> None:
    assert unit_name(path) == name


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("mirror: {devices: [/dev/vdc, /dev/vdb]}", "boots from cannot be mirrored"),
        ("luks: {tpm2: true}", "boots from cannot be encrypted"),
        ("luks: {tang: [{url: 'http://t', thumbprint: x}]}", "boots from cannot be encrypted"),
    ],
)
def test_the_disk_that_is_booted_is_neither_mirrored_nor_encrypted(body: str, message: str) -> None:
    found = findings(f"boot_device: {{{body}}}")
    assert len(found) == 1 and message in found[0]


def test_boot_device_that_asks_for_nothing() -> None:
    assert ignition("boot_device: {layout: aarch64, luks: {tpm2: false}}") == {"ignition": {"version": "3.3.0"}}


def test_an_unknown_layout() -> None:
    assert "unknown layout 'riscv'" in findings("boot_device: {layout: riscv}")[0]


@pytest.mark.parametrize(
    ("partitions", "message"),
    [
        ("{label: root, number: 4, size_mib: 8192}", None),
        ("{label: root, number: 4, size_mib: 4096}", "4096 MiB is little for root"),
        ("{label: root, number: 4}, {label: var, start_mib: 10000}", None),
        (
            "{label: root, number: 4}, {label: var}",
            "another partition is placed right behind root, which then cannot grow",
        ),
        ("{label: root, size_mib: 8192}", "the label 'root' belongs to partition 4; this makes another one"),
        ("{label: boot, number: 4}", "the label 'boot' belongs to partition 3; this makes another one"),
        ("{label: EFI-SYSTEM, number: 2}", None),
    ],
)
def test_partitions_of_the_boot_disk(partitions: str, message: str | None) -> None:
    body = f"storage: {{disks: [{{device: /dev/vdc, partitions: [{partitions}]}}]}}"
    result = run(body, FCOS)
    assert [e.message for e in result.report.entries] == ([message] if message else [])
    assert result.ignition is not None
    assert findings(body.replace("device:", "wipe_table: true, device:")) == []
