"""Every version of Butane and of Ignition's JSON: what it has, what it means, and what cannot be said of it here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orlop.provision.emit import ignition_json
from orlop.provision.local import LocalNode, NodeKind
from orlop.provision.translate import Translation, translate
from orlop.provision.variants import JSON_VARIANTS, VARIANTS, Variant
from tests.contracts.provision.configs import configs
from tests.unit.provision.texts import Memory, findings, ignition, own, run

TREE = [
    LocalNode("", NodeKind.FOLDER),
    LocalNode("empty", NodeKind.FOLDER),
    LocalNode("run", NodeKind.FILE, b"#!/bin/sh\n", executable=True),
    LocalNode("link", NodeKind.LINK, target="run"),
]
FILES = Memory(
    {
        "one": b"1",
        "two": b"",
        "bin": b"\xff\x00",
        "web": b"[Container]\nImage=x\n",
        "keys": b"ssh-ed25519 AAAA me\r\n\nssh-rsa BBBB\n",
    },
    {"tree": TREE},
)


def head(version: str, name: str = "fcos") -> str:
    return f"variant: {name}\nversion: {version}\n"


# version, body, the version that brought the key
CAME_LATER = [
    ("1.0.0", "ignition: {proxy: {http_proxy: http://p}}", "proxy"),
    ("1.0.0", "ignition: {config: {merge: [{source: http://a, compression: gzip}]}}", "compression"),
    ("1.0.0", "ignition: {security: {tls: {certificate_authorities: [{source: http://a, inline: x}]}}}", "inline"),
    ("1.0.0", "storage: {files: [{path: /etc/a, contents: {local: one}}]}", "local"),
    ("1.0.0", "storage: {files: [{path: /etc/a, contents: {source: http://a, http_headers: []}}]}", "http_headers"),
    ("1.0.0", "storage: {trees: [{local: tree}]}", "trees"),
    ("1.0.0", "storage: {filesystems: [{device: /a, format: ext4, mount_options: [ro]}]}", "mount_options"),
    ("1.0.0", "storage: {filesystems: [{device: /a, format: ext4, path: /var/a, with_mount_unit: true}]}",
     "with_mount_unit"),
    ("1.1.0", "storage: {luks: [{name: a, device: /dev/b}]}", "luks"),
    ("1.1.0", "storage: {disks: [{device: /dev/b, partitions: [{number: 1, resize: true}]}]}", "resize"),
    ("1.1.0", "passwd: {users: [{name: a, should_exist: false}]}", "should_exist"),
    ("1.1.0", "passwd: {groups: [{name: a, should_exist: false}]}", "should_exist"),
    ("1.2.0", "boot_device: {layout: x86_64}", "boot_device"),
    ("1.3.0", "kernel_arguments: {should_exist: [a]}", "kernel_arguments"),
    ("1.4.0", "systemd: {units: [{name: a.service, contents_local: web}]}", "contents_local"),
    ("1.4.0", "systemd: {units: [{name: a.service, dropins: [{name: b.conf, contents_local: web}]}]}",
     "contents_local"),
    ("1.4.0", "passwd: {users: [{name: a, ssh_authorized_keys_local: [keys]}]}", "ssh_authorized_keys_local"),
    ("1.4.0", "storage: {luks: [{name: a, device: /dev/b, discard: true}]}", "discard"),
    ("1.4.0", "storage: {luks: [{name: a, device: /dev/b, open_options: [a]}]}", "open_options"),
    ("1.4.0", "storage: {luks: [{name: a, device: /dev/b, clevis: {tang: [{url: http://a, thumbprint: b, "
     "advertisement: c}]}}]}", "advertisement"),
    ("1.4.0", "grub: {users: []}", "grub"),
    ("1.5.0", "storage: {luks: [{name: a, device: /dev/b, cex: {enabled: true}}]}", "cex"),
    ("1.6.0", "storage: {trees: [{local: tree, file_mode: 0600}]}", "file_mode"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "body", "key"), CAME_LATER)
def test_an_older_version_does_not_have_what_came_later(version: str, body: str, key: str) -> None:
    """It is left out, as Butane of that version does; the next version has it."""
    (warning,) = own(run(body, head(version), FILES))
    assert warning.message == f"this version does not have the key {key!r}: it is left out"
    assert "raise `version`" in warning.hint
    next_version = f"1.{int(version.split('.')[1]) + 1}.0"
    assert not [e for e in own(run(body, head(next_version), FILES)) if "this version" in e.message]


@pytest.mark.parametrize(
    ("version", "body", "what"),
    [
        ("1.0.0", "storage: {files: [{path: /etc/a, contents: {source: http://a, verification: {hash: "
         "sha256-" + "a" * 64 + "}}}]}",
         "hashes of the kind sha256"),
        ("1.1.0", "storage: {files: [{path: /etc/a, contents: {source: gs://a/b}}]}", "URLs of Google Cloud Storage"),
        ("1.3.0", "storage: {filesystems: [{device: /dev/b, format: none}]}", "the format none"),
        ("1.3.0", "storage: {filesystems: [{device: /dev/b, format: swap, with_mount_unit: true}]}", "units for swap"),
    ],
)  # fmt: skip
def test_values_that_came_later(version: str, body: str, what: str) -> None:
    (error,) = own(run(body, head(version)))
    assert error.message == f"fcos {version} does not have {what}"
    later = f"1.{int(version.split('.')[1]) + 1}.0"
    assert error.hint == f"it came with {later}: raise `version`"
    assert own(run(body, head(later))) == []


# what newer versions say and Ignition 3.3 cannot, with the words of the answer
IMPOSSIBLE = [
    ("1.5.0", "storage: {luks: [{name: a, device: /dev/b, discard: true}]}", "$.storage.luks.0.discard",
     "leave it out"),
    ("1.5.0", "storage: {luks: [{name: a, device: /dev/b, open_options: [a]}]}", "$.storage.luks.0.open_options",
     "leave it out"),
    ("1.5.0", "storage: {luks: [{name: a, device: /dev/b, clevis: {tang: [{url: http://a, thumbprint: b, "
     "advertisement: c}]}}]}", "$.storage.luks.0.clevis.tang.0.advertisement", "key_file"),
    ("1.5.0", "grub: {users: [{name: root, password_hash: x}]}", "$.grub", "systemd-boot"),
    ("1.5.0", "storage: {files: [{path: /etc/a, contents: {source: 'arn:aws:s3:a:1:accesspoint/b/object/c'}}]}",
     "$.storage.files.0.contents.source", "s3://"),
    ("1.6.0", "storage: {luks: [{name: a, device: /dev/b, cex: {enabled: true}}]}", "$.storage.luks.0.cex", "key_file"),
    ("1.6.0", "boot_device: {layout: s390x-eckd}", "$.boot_device.layout", "x86-64"),
    ("1.6.0", "boot_device: {luks: {cex: {enabled: true}}}", "$.boot_device.luks", "storage.luks"),
    ("1.7.0", "storage: {directories: [{path: /var/a, mode: 01777}]}", "$.storage.directories.0.mode", "z /var/a 1777"),
    ("1.7.0", "storage: {files: [{path: /etc/a, mode: 04755}]}", "$.storage.files.0.mode", "z /etc/a 4755"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "body", "path", "remedy"), IMPOSSIBLE)
def test_what_cannot_be_said_is_refused_with_its_place_and_what_to_do(
    version: str, body: str, path: str, remedy: str
) -> None:
    result = run(body, head(version))
    (error,) = [e for e in result.report.sorted() if e.severity.value == "error"]
    assert (result.ignition, error.place.path) == (None, path)
    assert remedy in error.hint
    assert error.place.span.line == 3
    assert error.place.span.column > 1


@pytest.mark.parametrize(
    "luks", ["discard: false", "open_options: []", "cex: {}", "cex: {enabled: false}", "clevis: {tang: []}"]
)
def test_what_says_nothing_is_taken(luks: str) -> None:
    made = ignition(f"storage: {{luks: [{{name: a, device: /dev/b, {luks}}}]}}", head("1.7.0"))
    assert set(made["storage"]["luks"][0]) - {"discard", "cex"} == {"name", "device"}


def test_local_texts() -> None:
    body = """
    passwd: {users: [{name: core, ssh_authorized_keys: [first], ssh_authorized_keys_local: [keys]}]}
    systemd:
      units:
        - {name: a.service, contents_local: web}
        - {name: b.service, dropins: [{name: c.conf, contents_local: web}]}
    """
    heads = [head("1.5.0"), head("1.6.0"), head("1.7.0"), head("1.1.0", "flatcar")]
    for made in (ignition(body, h, FILES) for h in heads):
        assert made["passwd"]["users"][0]["sshAuthorizedKeys"] == ["first", "ssh-ed25519 AAAA me", "ssh-rsa BBBB"]
        units = made["systemd"]["units"]
        assert units[0]["contents"] == units[1]["dropins"][0]["contents"] == "[Container]\nImage=x\n"
    assert findings("systemd: {units: [{name: a.service, contents_local: bin}]}", head("1.5.0"), FILES) == [
        "error 1:53 $.systemd.units.0.contents_local 'bin' is not UTF-8 text"
    ]
    assert findings(
        "systemd: {units: [{name: a.service, contents: '', contents_local: web}]}", head("1.5.0"), FILES
    ) == ["error 1:67 $.systemd.units.0.contents_local contents and contents_local are both given"]


def test_owner_and_modes_of_trees() -> None:
    tree = "{local: tree, path: /etc/t, user: {name: core}, group: {id: 5}, file_mode: 0600, dir_mode: 0700}"
    storage = ignition(f"storage: {{trees: [{tree}]}}", head("1.7.0"), FILES)["storage"]
    owner = {"user": {"name": "core"}, "group": {"id": 5}}
    (file,), (link,) = storage["files"], storage["links"]
    assert {k: file[k] for k in ("path", "mode", "user", "group")} == {"path": "/etc/t/run", "mode": 0o600, **owner}
    assert link == {"path": "/etc/t/link", "target": "run", **owner}
    assert storage["directories"] == [{"path": p, "mode": 0o700, **owner} for p in ("/etc/t", "/etc/t/empty")]
    plain = ignition("storage: {trees: [{local: tree, path: /etc/t}]}", head("1.7.0"), FILES)["storage"]
    assert set(plain) == {"files", "links"}


# the oracle: an older config whose version line is raised means what it meant, and a newer one what it means in 1.4


def raised(text: str, version: str) -> Translation:
    return translate(json.dumps({**json.loads(text), "version": version}).encode(), FILES)


@settings(max_examples=60, deadline=None)
@given(configs().filter(lambda text: json.loads(text)["variant"] != "orlop"))
def test_raising_the_version_changes_nothing_that_a_version_has(text: str) -> None:
    found = translate(text.encode(), FILES)
    if found.ignition is None or any("this version" in e.message for e in found.report.entries):
        return
    name, version = json.loads(text)["variant"], json.loads(text)["version"]
    for variant in VARIANTS:
        if variant.name == name and variant.version > version:
            later = raised(text, variant.version)
            if later.ignition is None:  # only 1.7 promises setuid, which nothing here can keep
                assert all("setuid" in e.message for e in later.report.entries if e.severity.value == "error")
            else:
                assert later.ignition == found.ignition


# Ignition's JSON


def read_json(config: object, *, text: str = "") -> Translation:
    return translate((text or json.dumps(config)).encode(), ignition=True)


@settings(max_examples=60, deadline=None)
@given(configs(), st.sampled_from(JSON_VARIANTS[3:]), st.booleans())
def test_what_was_written_is_read_as_the_same(text: str, variant: Variant, pretty: bool) -> None:
    """Translating a translated config changes nothing, whatever version it says it has."""
    made = translate(text.encode(), FILES)
    if made.ignition is None or made.root is None:
        return
    assert ignition_json(made.root) == made.ignition
    config = json.loads(made.ignition)
    config["ignition"]["version"] = variant.version
    again = read_json(config, text=json.dumps(config, indent=3 if pretty else None, ensure_ascii=pretty))
    if again.ignition is None and variant.level == 7:
        assert all("setuid" in e.message for e in again.report.entries if e.severity.value == "error")
        return
    assert again.ignition == made.ignition, [e.message for e in again.report.entries]


@pytest.mark.parametrize(
    ("text", "line", "column", "path", "message"),
    [
        ('{"ignition": {"version": "3.4.0"},\n "storage": {"luks": [{"name": "a", "device": "/b", '
         '"openOptions": ["x"]}]}}',
         2, 68, "$.storage.luks.0.openOptions", "openOptions cannot be done"),
        ('{"ignition": {"version": "3.2.0"}, "storage": {"files": [{"path": "etc/x"}]}}',
         1, 67, "$.storage.files.0.path", "path is not absolute"),
        ('{"ignition": {"version": "3.7.0"}}', 1, 26, "$.ignition.version", "Ignition 3.7.0 is not supported"),
        ('{"ignition": {"version": "2.3.0"}}', 1, 26, "$.ignition.version", "Ignition 2.3.0 is not supported"),
        ('{"ignition": {}}', 1, 14, "$.ignition.version", "version is missing"),
        ('{"ignition": 7}', 1, 14, "$.ignition.version", "version is missing"),
        ("{}", 1, 1, "$.ignition.version", "version is missing"),
        ("[1]", 1, 1, "$", "the config needs to be an object"),
        ("", 1, 1, "$", "the config is empty"),
        ('{"ignition": ', 1, 14, "$", "not valid JSON: a value is expected here"),
        ('{"ignition": {"version": "3.3.0"}} x', 1, 36, "$", "there is more text after"),
        ('{"ignition": {"version": "3.3.0"}, "storage": {"files": 1}}', 1, 57, "$.storage.files", "files needs a list"),
        ('{"ignition": {"version": "3.3.0"}, "passwd": {"users": [{"name": 7}]}}', 1, 66, "$.passwd.users.0.name",
         "name needs text in quotes"),
        ('{"ignition": {"version": "3.3.0"}, "passwd": {"users": [{"name": "a", "uid": "7"}]}}', 1, 78,
         "$.passwd.users.0.uid", "uid needs a number"),
        ('{"ignition": {"version": "3.3.0"}, "passwd": {"users": [{"name": "a", "system": "yes"}]}}', 1, 81,
         "$.passwd.users.0.system", "system needs true or false"),
        ('{"ignition": {"version": "3.3.0", "version": "3.2.0"}}', 1, 35, "$", "the key 'version' is given twice"),
        ('{"ignition": {"version": "\\ud800"}}', 1, 34, "$", "a string holds half of a character"),
        ('{"ignition": {"version": "3.3.0"}, }', 1, 36, "$", "not valid JSON: a key in quotes"),
        ('{"ignition": {"version": "3.3.0"} "a": 1}', 1, 35, "$", "not valid JSON: a comma or } is expected"),
        ('{"ignition" 1}', 1, 13, "$", "not valid JSON: a colon is expected"),
        ('{"a": "x\ny"}', 1, 9, "$", "not valid JSON: invalid control character"),
    ],
)  # fmt: skip
def test_errors_in_json_have_their_place(text: str, line: int, column: int, path: str, message: str) -> None:
    found = translate(text.encode(), ignition=True)
    (error,) = found.report.entries
    assert found.ignition is None
    assert (error.place.span.line, error.place.span.column, error.place.path) == (line, column, path)
    assert message in error.message


@pytest.mark.parametrize("version", [v.version for v in JSON_VARIANTS])
def test_every_version_of_json(version: str) -> None:
    config: dict[str, Any] = {"ignition": {"version": version}, "storage": {"files": [{"path": "/etc/ä", "mode": 420}]}}
    made = read_json(config)
    assert made.report.entries == []
    assert json.loads(made.ignition or "") == {**config, "ignition": {"version": "3.3.0"}}
    config["pasword"] = {}
    config["kernelArguments"] = {"shouldExist": ["quiet"]}
    messages = [e.message for e in own(read_json(config))]
    assert "unknown key 'pasword': it is left out" in messages
    assert ("this version does not have the key 'kernelArguments': it is left out" in messages) == (version < "3.3.0")


def test_a_decimal_mode_in_json_has_no_octal_to_be_written_as() -> None:
    config = {"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/etc/a", "mode": 644}]}}
    (warning,) = read_json(config).report.entries
    assert warning.hint == "for the mode 0644 write 420"


def test_a_newer_config_inside_is_written_as_what_machines_read() -> None:
    newer = '{"ignition": {"version": "3.5.0"}, "storage": {"files": [{"path": "/etc/a"}]}}'
    older = '{"ignition": {"version": "3.1.0"}}'
    merge = f"merge: [{{inline: '{newer}'}}, {{inline: '{older}'}}]"
    body = f"ignition: {{config: {{{merge}, replace: {{inline: '{newer}'}}}}}}"
    config = ignition(body, head("1.6.0"))["ignition"]["config"]
    written = "data:,%7B%22ignition%22%3A%7B%22version%22%3A%223.3.0%22%7D%2C%22storage%22"
    assert config["merge"][0]["source"].startswith(written) or config["merge"][0]["source"].startswith("data:;base64,")
    assert (
        config["merge"][1]["source"]
        == ignition(f"ignition: {{config: {{merge: [{{inline: '{older}'}}]}}}}")["ignition"]["config"]["merge"][0][
            "source"
        ]
    )
    assert config["replace"] == config["merge"][0]
    bad = newer.replace("/etc/a", "etc/a")
    (error,) = run(f"ignition: {{config: {{merge: [{{inline: '{bad}'}}]}}}}", head("1.6.0")).report.entries
    assert error.message.startswith("the config inside cannot be used: path is not absolute")


# errors of all stages at once


def test_errors_of_decoding_do_not_hide_others() -> None:
    body = """
    passwd: {users: [{name: a, uid: many}, {name: b, uid: -1}]}
    storage:
      files: [{path: etc/a}, {path: /etc/b, mode: x, overwrite: true}, {path: /etc/c, overwrite: true}]
      luks: 5
    systemd: {units: [{name: web}, {contents: x}]}
    """
    # in the second file and the second unit, what was left out is not missed a second time
    assert [line.split(" ", 2)[2] for line in findings(body)] == [
        "$.passwd.users.0.uid uid needs a number, not 'many'",
        "$.passwd.users.1.uid uid cannot be negative",
        "$.storage.files.0.path path is not absolute: 'etc/a' does not begin with /",
        "$.storage.files.1.mode mode needs a number, not 'x'",
        "$.storage.files.2.overwrite a file that is overwritten needs contents",
        "$.storage.luks luks needs a list, not '5'",
        "$.systemd.units.0.name 'web' has no suffix of a unit",
        "$.systemd.units.1 name is missing",
    ]
