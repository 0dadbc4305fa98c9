"""Every rule of Ignition and its message, as tables: what is written, and the findings with their positions."""

from __future__ import annotations

import pytest

from tests.unit.provision.texts import FCOS, findings, ignition, run

SHA = "sha256-" + "a" * 64


def check(body: str, *lines: str, head: str = FCOS) -> None:
    assert findings(body, head) == list(lines)


def check_marked(body: str, finding: str) -> None:
    """The one finding in `body`, and that it points at the mark."""
    severity, rest = finding.split(" ", 1)
    check(body.replace("‹", ""), f"{severity} 1:{body.index('‹') + 1} {rest}")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("''", "path is missing"),
        ("etc/x", "path is not absolute: 'etc/x' does not begin with /"),
        ("/etc//x", "path is not in its shortest form: write '/etc/x'"),
        ("//etc", "path is not in its shortest form: write '/etc'"),
        ("/etc/", "path is not in its shortest form: write '/etc'"),
        ("/etc/../x", "path is not in its shortest form: write '/x'"),
    ],
)
@pytest.mark.parametrize("kind", ["files", "directories"])
def test_paths(kind: str, path: str, message: str) -> None:
    found = findings(f"storage: {{{kind}: [{{path: {path}}}]}}")
    assert [line.split(" ", 3)[3] for line in found] == [message]


@pytest.mark.parametrize(
    ("kind", "mode", "message"),
    [
        ("files", "0644", None),
        ("files", "0", None),
        ("files", "0700", None),
        ("files", "644", "644 is decimal, and an odd mode (01204)"),
        ("files", "444", "444 is decimal, and an odd mode (0674)"),
        ("files", "755", "755 is decimal, and an odd mode (01363)"),
        ("files", "420", None),  # 0644 in decimal: somebody computed it
        ("files", "0123", None),  # odd, but clearly octal
        ("files", "04755", "setuid, setgid and sticky are not set by this version of Ignition"),
        ("files", "010000", "the mode 4096 is out of range"),
        ("directories", "0755", None),
        ("directories", "755", "755 is decimal, and an odd mode (01363)"),
        ("directories", "700", "700 is decimal, and an odd mode (01274)"),
        ("directories", "01777", "setuid, setgid and sticky are not set by this version of Ignition"),
    ],
)
def test_modes(kind: str, mode: str, message: str | None) -> None:
    found = findings(f"storage: {{{kind}: [{{path: /x, mode: {mode}}}]}}")
    assert [line.split(" ", 3)[3] for line in found] == ([message] if message else [])


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("source: http://example.com", None),
        ("source: 'data:,a%20b'", None),
        ("source: ''", None),
        (
            "source: ftp://example.com",
            "source: the scheme 'ftp' cannot be fetched; one of: http, https, tftp, s3, gs, data",
        ),
        ("source: example.com/x", "source: it has no scheme"),
        ("source: 'http:///x'", "source: it names no host: `scheme://HOST/…`"),
        ("source: 'http://a:b/'", "source: the port 'b' must be a number"),
        ("source: 'http://a b/'", "source: the host name holds characters that are not allowed there"),
        ("source: 'http://a/%zz'", "source: % is not followed by two hex digits"),
        ("source: 'http://u^@a/'", "source: the user name in it holds characters that must be escaped"),
        ("source: 'http://[x]/'", "source: the address in brackets is malformed"),
        ("source: 's3://a/b?versionId='", "source: versionId is empty"),
        ("source: 'data:x'", "source: it is not a valid data URL: `data:[TYPE][;base64],DATA`"),
        ("source: 'data:;base64,a'", "source: what follows ;base64 is not base64 with its padding"),
        ("source: 'data:,a b'", "source: its data holds characters that must be escaped as %XX"),
        ("source: 'data:,%z'", "source: % is not followed by two hex digits"),
        ("source: 'http://a', compression: gzip", None),
        ("source: 'http://a', compression: xz", "unknown compression"),
        ("source: 's3://a/b', compression: gzip", "Ignition does not unpack what it gets from S3"),
        ("source: 's3://a/b', compression: ''", None),
        ("source: 'http://a', http_headers: [{name: A, value: b}]", None),
        ("source: 'http://a', http_headers: [{name: A, value: ''}]", "the value of a header cannot be empty"),
        ("source: 'http://a', http_headers: [{value: b}]", "name is missing"),
        ("source: 'http://a', http_headers: [{name: A}, {name: A}]", "'A' is given twice"),
        ("inline: x, http_headers: [{name: A}]", "headers need a source with http or https"),
        (f"source: 'http://a', verification: {{hash: {SHA}}}", None),
        (f"verification: {{hash: {SHA}}}", "a hash needs contents to check"),
        ("source: 'http://a', verification: {hash: x}", "the hash says not which kind it is"),
        ("source: 'http://a', verification: {hash: md5-x}", "unknown kind of hash 'md5'"),
        ("source: 'http://a', verification: {hash: sha512-00}", "a sha512 hash has 128 hex digits"),
        (f"inline: x, verification: {{hash: {SHA}}}", "the hash is not that of the contents given here"),
        ("inline: x, source: 'http://a'", "inline and source are both given"),
        ("inline: x, local: y", "inline and local are both given"),
        ("local: x", "local files are read from a files directory, and none was given"),
    ],
)
def test_contents(contents: str, message: str | None) -> None:
    found = findings(f"storage: {{files: [{{path: /x, contents: {{{contents}}}}}]}}")
    assert [line.split(" ", 3)[3] for line in found][:1] == ([message] if message else [])


# ‹ stands where the finding is to point at
STORAGE = [
    (
        "files: [{path: /a, overwrite: ‹true}]",
        "error $.storage.files.0.overwrite a file that is overwritten needs contents",
    ),
    ("files: [{path: /a}, ‹{path: /a}]", "error $.storage.files.1 '/a' is given twice"),
    ("files: [{path: /a}], directories: [‹{path: /a}]", "error $.storage.directories.0 '/a' is given twice"),
    (
        "files: [{path: /a, user: ‹{id: 0, name: root}}]",
        "error $.storage.files.0.user the user is given by id and by name",
    ),
    (
        "files: [{path: /a, group: ‹{id: 0, name: root}}]",
        "error $.storage.files.0.group the group is given by id and by name",
    ),
    ("links: [‹{path: /a}]", "error $.storage.links.0.target a link needs a target"),
    ("links: [{path: /a, target: ‹''}]", "error $.storage.links.0.target a link needs a target"),
    (
        "links: [{path: /a, target: b}], files: [{path: ‹/a/b/c}]",
        "error $.storage.files.0.path the path goes through the link /a of line 3",
    ),
    (
        "links: [{path: /a, target: b}, {path: ‹/a/b, target: c}]",
        "error $.storage.links.1.path the path goes through the link /a of line 3",
    ),
    (
        "directories: [{path: /d}], links: [‹{path: /a, target: /d, hard: true}]",
        "error $.storage.links.0 a hard link cannot lead to a folder: /d",
    ),
    ("disks: [‹{wipe_table: true}]", "error $.storage.disks.0 device is missing"),
    ("disks: [{device: ‹vda}]", "error $.storage.disks.0.device device is not absolute: 'vda' does not begin with /"),
    ("disks: [{device: /a}, ‹{device: /a}]", "error $.storage.disks.1 '/a' is given twice"),
    ("raid: [‹{name: a, level: raid1}]", "error $.storage.raid.0.devices a RAID needs devices"),
    ("raid: [‹{name: a, devices: [/a]}]", "error $.storage.raid.0.level a RAID needs a level"),
    ("raid: [{name: a, level: ‹raid7, devices: [/a]}]", "error $.storage.raid.0.level unknown RAID level 'raid7'"),
    (
        "raid: [{name: a, level: raid0, devices: [/a], spares: ‹1}]",
        "error $.storage.raid.0.spares raid0 has no use for spares",
    ),
    ("raid: [{name: a, level: raid1, devices: [/a, ‹/a]}]", "error $.storage.raid.0.devices.1 '/a' is given twice"),
    (
        "raid: [{name: a, level: raid1, devices: [‹a]}]",
        "error $.storage.raid.0.devices.0 the device is not absolute: 'a' does not begin with /",
    ),
    ("filesystems: [{device: /a, format: ‹zfs}]", "error $.storage.filesystems.0.format unknown format 'zfs'"),
    (
        "filesystems: [‹{device: /a, path: /b}]",
        "error $.storage.filesystems.0.format a file system with path needs a format",
    ),
    (
        "filesystems: [{device: /a, format: ext4, path: ‹b}]",
        "error $.storage.filesystems.0.path path is not absolute: 'b' does not begin with /",
    ),
    (
        "filesystems: [{device: /a, format: vfat, label: ‹abcdefghijkl}]",
        "error $.storage.filesystems.0.label a label of vfat has at most 11 bytes",
    ),
    ("luks: [{name: ‹a/b, device: /a}]", "error $.storage.luks.0.name the name of a volume cannot hold a slash"),
    ("luks: [‹{name: a}]", "error $.storage.luks.0 device is missing"),
    (
        "luks: [{name: a, device: /a, clevis: {custom: ‹{config: x}}}]",
        "error $.storage.luks.0.clevis.custom.pin a custom clevis needs a pin",
    ),
    (
        "luks: [{name: a, device: /a, clevis: {custom: ‹{pin: tpm2}}}]",
        "error $.storage.luks.0.clevis.custom.config a custom clevis needs a config",
    ),
    (
        "luks: [{name: a, device: /a, clevis: {custom: {pin: ‹x, config: y}}}]",
        "error $.storage.luks.0.clevis.custom.pin unknown pin 'x'",
    ),
    (
        "luks: [{name: a, device: /a, clevis: ‹{tpm2: true, custom: {pin: tpm2, config: y}}}]",
        "error $.storage.luks.0.clevis a custom clevis excludes tang, tpm2 and threshold",
    ),
    (
        "luks: [{name: a, device: /a, clevis: {tang: [{url: ‹x, thumbprint: y}]}}]",
        "error $.storage.luks.0.clevis.tang.0.url url: it has no scheme",
    ),
    ("trees: [‹{path: /x}]", "error $.storage.trees.0 local is missing"),
]


@pytest.mark.parametrize(("body", "finding"), STORAGE)
def test_storage(body: str, finding: str) -> None:
    check_marked(f"storage: {{ {body} }}", finding)


PARTITIONS = [
    ("{number: 1, start_mib: 1, size_mib: 10}, {number: 2, start_mib: 11, size_mib: 5}", None),
    ("{number: 1, start_mib: 1, size_mib: 10}, {number: 2, start_mib: 10, size_mib: 5}",
     "this partition overlaps that of line 3"),
    ("{number: 1, start_mib: 10, size_mib: 0}, {number: 2, start_mib: 5, size_mib: 10}",
     "this partition overlaps that of line 3"),
    ("{number: 1, start_mib: 0, size_mib: 10}, {number: 2, start_mib: 0, size_mib: 10}", None),
    ("{number: 1}, {number: 1}", "'number 1' is given twice"),
    ("{label: a}, {label: a}", "'label a' is given twice"),
    ("{number: 1, label: a}, {number: 2, label: a}", "the label 'a' is used twice"),
    ("{size_mib: 1}", "a partition needs a number or a label"),
    ("{label: 'a:b'}", "the label holds a colon, and would end there"),
    ("{label: " + "x" * 37 + "}", "the label is longer than 36 bytes"),
    ("{label: " + "ü" * 19 + "}", "the label is longer than 36 bytes"),
    ("{number: 1, guid: x}", "guid must be a GUID"),
    ("{number: 1, type_guid: x}", "type_guid must be a GUID"),
    ("{number: 1, should_exist: false}", None),
    ("{number: 1, should_exist: false, label: a}", "a partition that shall not exist has no label"),
    ("{number: 1, should_exist: false}, {label: a}", "a partition is removed while another has no number"),
]  # fmt: skip


@pytest.mark.parametrize(("partitions", "message"), PARTITIONS)
def test_partitions(partitions: str, message: str | None) -> None:
    found = findings(f"storage: {{disks: [{{device: /dev/vdc, partitions: [{partitions}]}}]}}")
    assert message in [line.split(" ", 3)[3] for line in found] if message else found == []


UNITS = [
    ("name: ‹a, mask: true", "error $.systemd.units.0.name 'a' has no suffix of a unit"),
    ("name: ‹b/a.service", "error $.systemd.units.0.name the name 'b/a.service' holds a slash"),
    (
        'name: a.service, enabled: ‹true, contents: "[Unit]\\nA=b\\n"',
        "warning $.systemd.units.0.enabled a.service is enabled and has no [Install] section, so it is not started",
    ),
    (
        'name: a.service, contents: ‹"[Unit"',
        "error $.systemd.units.0.contents line 1 of the unit: a section name is not closed by ]",
    ),
    (
        'name: a.service, contents: ‹"[Unit]\\nA=b\\n\\nC\\n"',
        "error $.systemd.units.0.contents line 4 of the unit: 'C' has no = after it",
    ),
    ("name: a.service, dropins: [{name: ‹a}]", "error $.systemd.units.0.dropins.0.name 'a' does not end in .conf"),
    (
        "name: a.service, dropins: [{name: a.conf}, ‹{name: a.conf}]",
        "error $.systemd.units.0.dropins.1 'a.conf' is given twice",
    ),
    (
        'name: a.service, dropins: [{name: a.conf, contents: ‹"[A"}]',
        "error $.systemd.units.0.dropins.0.contents line 1 of the unit: a section name is not closed by ]",
    ),
]


@pytest.mark.parametrize(("unit", "finding"), UNITS)
def test_units(unit: str, finding: str) -> None:
    check_marked(f"systemd: {{units: [{{{unit}}}]}}", finding)


@pytest.mark.parametrize(
    "unit",
    [
        'name: a.service, contents: "[Unit]\\nA=b"',
        "name: a.service, enabled: true",
        "name: a.service, enabled: false",
        'name: a.service, enabled: true, contents: ""',
        "name: a.service, mask: true",
    ],
)
def test_good_units(unit: str) -> None:
    check(f"systemd: {{units: [{{{unit}}}]}}")


REST = [
    ("passwd: {users: [{name: a}, ‹{name: a}]}", "error $.passwd.users.1 'a' is given twice"),
    ("passwd: {users: [‹{uid: 1}]}", "error $.passwd.users.0 name is missing"),
    ("passwd: {users: [{name: a, groups: [x, ‹x]}]}", "error $.passwd.users.0.groups.1 'x' is given twice"),
    (
        "passwd: {users: [{name: a, ssh_authorized_keys: [k, ‹k]}]}",
        "error $.passwd.users.0.ssh_authorized_keys.1 'k' is given twice",
    ),
    ("passwd: {groups: [{name: a}, ‹{name: a}]}", "error $.passwd.groups.1 'a' is given twice"),
    (
        "kernel_arguments: {should_exist: [a], should_not_exist: [‹a]}",
        "error $.kernel_arguments.should_not_exist.0 'a' is given twice",
    ),
    ("ignition: {config: {merge: [‹{}]}}", "error $.ignition.config.merge.0 this has no contents"),
    (
        "ignition: {config: {merge: [{inline: a}, ‹{inline: a}]}}",
        "error $.ignition.config.merge.1 'data:,a' is given twice",
    ),
    (
        "ignition: {security: {tls: {certificate_authorities: [‹{}]}}}",
        "error $.ignition.security.tls.certificate_authorities.0 this has no contents",
    ),
    (
        "ignition: {proxy: {http_proxy: ‹'ftp://a'}}",
        "error $.ignition.proxy.http_proxy http_proxy: it must begin with http:// or https://",
    ),
    (
        "ignition: {proxy: {https_proxy: ‹'http://a'}}",
        "warning $.ignition.proxy.https_proxy what goes over https is told to a proxy in the clear",
    ),
    ("ignition: {proxy: {no_proxy: [a, ‹a]}}", "error $.ignition.proxy.no_proxy.1 'a' is given twice"),
    ("passwd: ‹[]", "error $.passwd passwd needs a mapping, not a list"),
    ("passwd: {users: ‹{}}", "error $.passwd.users users needs a list, not a mapping"),
    ("passwd: {users: [‹~]}", "error $.passwd.users.0 this item of users is empty"),
    ("passwd: {users: [‹a]}", "error $.passwd.users.0 users needs a mapping, not 'a'"),
    ("passwd: {‹user: []}", "warning $.passwd.user unknown key 'user': it is left out"),
]


@pytest.mark.parametrize(("body", "finding"), REST)
def test_the_rest(body: str, finding: str) -> None:
    check_marked(body, finding)


def test_everything_of_ignition_goes_through() -> None:
    found = ignition(
        """
        ignition:
          timeouts: {http_total: 30, http_response_headers: 0}
          proxy: {https_proxy: 'https://proxy', no_proxy: [localhost]}
        kernel_arguments: {should_exist: [a=b], should_not_exist: [quiet]}
        passwd:
          users: [{name: core, ssh_authorized_keys: [k], uid: 1000, no_create_home: true, home_dir: /h}]
          groups: [{name: g, gid: 5, password_hash: '', should_exist: no}]
        storage:
          disks: [{device: /dev/vdc, partitions: [{number: 0, label: x, start_mib: 0, type_guid: ''}]}]
        """
    )
    assert found == {
        "ignition": {
            "version": "3.3.0",
            "timeouts": {"httpResponseHeaders": 0, "httpTotal": 30},
            "proxy": {"httpsProxy": "https://proxy", "noProxy": ["localhost"]},
        },
        "kernelArguments": {"shouldExist": ["a=b"], "shouldNotExist": ["quiet"]},
        "passwd": {
            "users": [{"name": "core", "sshAuthorizedKeys": ["k"], "uid": 1000, "noCreateHome": True, "homeDir": "/h"}],
            "groups": [{"name": "g", "gid": 5, "passwordHash": "", "shouldExist": False}],
        },
        "storage": {"disks": [{"device": "/dev/vdc", "partitions": [{"label": "x", "startMiB": 0, "typeGuid": ""}]}]},
    }


def test_what_is_empty_is_left_out() -> None:
    assert ignition("storage: {files: []}\npasswd: {}\nignition: {config: {replace: {verification: {}}}}") == {
        "ignition": {"version": "3.3.0"}
    }


def test_strict_makes_warnings_fatal() -> None:
    body = "storage: {files: [{path: /a, mode: 644}]}"
    assert run(body).ignition is not None
    assert run(body, strict=True).ignition is None


@pytest.mark.parametrize(
    ("storage", "finding"),
    [
        (
            "disks: [{device: ‹/dev/disk/orlop/esp}]",
            "error $.storage.disks.0.device /dev/disk/orlop/esp: it is the system's own",
        ),
        (
            "raid: [{name: x, level: raid1, devices: [/dev/vdb, ‹/dev/disk/by-partlabel/var]}]",
            "error $.storage.raid.0.devices.1 /dev/disk/by-partlabel/var: it is the system's own",
        ),
        (
            "filesystems: [{device: /dev/vdb, format: btrfs, options: [‹/dev/mapper/usr]}]",
            "error $.storage.filesystems.0.options.0 /dev/mapper/usr: it is the system's own",
        ),
        (
            "filesystems: [{device: /dev/vdb, format: ext4, path: ‹/boot}]",
            "error $.storage.filesystems.0.path nothing can be mounted at /boot: it is the ESP",
        ),
        (
            "disks: [{device: ‹/dev/vda}]",
            "warning $.storage.disks.0.device "
            "/dev/vda is the disk that most machines boot from, and the boot refuses it there",
        ),
    ],
)
def test_the_system_s_own_disk_is_known_by_its_names(storage: str, finding: str) -> None:
    check_marked(f"storage: {{{storage}}}", finding)
