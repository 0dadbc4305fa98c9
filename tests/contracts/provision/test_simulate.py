"""What a config makes of the image, by the real Ignition of the SDK on the real image's /usr and factory /etc."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.image import zones
from orlop.image.unpacked import Base
from orlop.model.settings.zones import ZONES
from orlop.simulate import against, show
from orlop.simulate.changes import ChangeKind
from orlop.simulate.run import Simulation
from orlop.simulate.snapshot import PathKind
from tests.contracts.provision.simulating import whole

pytestmark = pytest.mark.sdk

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample me"
SERVICE = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


def test_an_empty_config_changes_nothing(tried: functools.partial[Simulation]) -> None:
    machine = whole(tried(""))
    assert machine.changes == []
    assert show.NO_CHANGE in show.text(machine)
    assert "/etc/passwd" in machine.root


def test_the_image_has_the_time_zones_of_the_list_and_no_others(base: Base) -> None:
    assert zones.there(base.usr.parent) == ZONES


def test_users_and_groups(tried: functools.partial[Simulation]) -> None:
    machine = whole(
        tried(f"""
            passwd:
              groups: [{{name: web, gid: 900}}, {{name: tools, system: true}}]
              users:
                - {{name: core, uid: 1234, groups: [web], shell: /bin/sh, gecos: The Core, password_hash: $y$x,
                   ssh_authorized_keys: ["{KEY}", "{KEY}2"]}}
                - {{name: daemon1, system: true, no_create_home: true, shell: /usr/sbin/nologin, primary_group: web}}
                - {{name: root, ssh_authorized_keys: ["{KEY}"]}}
        """)
    )
    core = machine.users["core"][1]
    assert core is not None
    assert (core.uid, core.group, core.groups, core.home, core.shell) == (
        1234,
        "core",
        ("web",),
        "/home/core",
        "/bin/sh",
    )
    assert (core.password, core.keys, core.gecos) == ("set", 2, "The Core")
    daemon = machine.users["daemon1"][1]
    assert daemon is not None
    assert daemon.group == "web"
    assert daemon.uid < 1000
    assert set(machine.groups) == {"core", "web", "tools"}
    home = machine.root["/home/core"]
    assert (home.kind, home.uid, home.mode) == (PathKind.FOLDER, 1234, 0o700)
    keys = machine.root["/root/.ssh/authorized_keys.d/ignition"]
    assert keys.text == KEY + "\n"
    assert machine.root["/home/core/.ssh/authorized_keys.d/ignition"].uid == 1234
    assert "/home/daemon1" not in machine.root
    assert not [path for path in machine.root if path.endswith(("passwd-", ".lock"))]


def test_users_of_the_image(tried: functools.partial[Simulation]) -> None:
    outcome = tried("passwd: {users: [{name: mail, should_exist: false}, {name: daemon, shell: /bin/none, gecos: d}]}")
    machine = whole(outcome)
    daemon = machine.users["daemon"][1]
    assert daemon is not None
    assert (daemon.shell, daemon.gecos) == ("/bin/none", "d")
    removed = [name for name, (_, after) in machine.users.items() if after is None]
    assert removed == (["mail"] if "mail:" in (machine.factory["/etc/passwd"].text or "") else [])
    (doubt,) = outcome.report.entries
    assert doubt.message == "the shell /bin/none of daemon is not in the image"
    assert doubt.place.path == "$.passwd.users.1"


def test_files_folders_links(tried: functools.partial[Simulation]) -> None:
    machine = whole(
        tried("""
            storage:
              directories: [{path: /var/lib/a, mode: 0750, group: {name: adm}}]
              files:
                - {path: /etc/a, mode: 0600, contents: {inline: one}, append: [{inline: two}], user: {id: 7}}
                - {path: /etc/hostname, contents: {inline: "long long long long long text " }, overwrite: true}
                - {path: /etc/nsswitch.conf, append: [{inline: "# more\\n"}]}
                - {path: /etc/login.defs, mode: 0600}
              links:
                - {path: /etc/soft, target: ../x}
                - {path: /etc/z, target: /etc/a, hard: true}
                - {path: /etc/resolv.conf, target: /run/mine, overwrite: true}
              trees: [{local: tree, path: /opt/t}]
        """)
    )
    root, by_path = machine.root, {change.path: change for change in machine.changes}
    assert (root["/etc/a"].text, root["/etc/a"].mode, root["/etc/a"].uid) == ("onetwo", 0o600, 7)
    assert (root["/etc/z"].same, root["/etc/z"].text) == ("/etc/a", "onetwo")
    assert root["/etc/soft"].target == "../x"
    assert root["/var/lib/a"].mode == 0o750
    assert "adm" in show.text(machine)
    assert (root["/opt/t/sub/run"].mode, root["/opt/t/text"].mode) == (0o755, 0o644)
    assert root["/opt/t/link"].target == "sub/run"
    assert (root["/etc/nsswitch.conf"].text or "").endswith("# more\n")
    assert by_path["/etc/nsswitch.conf"].why == ("contents",)
    assert by_path["/etc/login.defs"].why == ("mode",)
    assert by_path["/etc/resolv.conf"].why == ("target",)
    assert by_path["/opt"].how is ChangeKind.ADDED
    assert not [path for path in by_path if "selinux" in path or "ignition-result" in path]


def test_units(tried: functools.partial[Simulation]) -> None:
    outcome = tried(
        f"""
        systemd:
          units:
            - {{name: a.service, enabled: true, contents: "{SERVICE!r}"}}
            - {{name: b.service, contents: "{SERVICE!r}"}}
            - {{name: c.service, contents: "[Service]\\nExecStart=/bin/true\\n", enabled: true}}
            - {{name: t@.service, contents: "{SERVICE!r}"}}
            - {{name: t@one.service, enabled: true}}
            - {{name: t@two.service, enabled: true}}
            - {{name: podman.socket, enabled: true, dropins: [{{name: 10-a.conf, contents: "[Socket]\\n"}}]}}
            - {{name: systemd-timesyncd.service, enabled: false}}
            - {{name: systemd-resolved.service, mask: true}}
            - {{name: nowhere.service, enabled: true}}
    """.replace("\"'", '"').replace("'\"", '"')
    )
    units = {unit.name: unit for unit in whole(outcome).units}
    states = {name: (unit.state, unit.origin) for name, unit in units.items()}
    assert states == {
        "a.service": ("enabled", "config"),
        "b.service": ("disabled", "config"),
        "c.service": ("static", "config"),
        "t@.service": ("indirect", "config"),
        "t@one.service": ("enabled", "config"),
        "t@two.service": ("enabled", "config"),
        "podman.socket": ("enabled", "image"),
        "systemd-timesyncd.service": ("disabled", "image"),
        "systemd-resolved.service": ("masked", "config"),
        "nowhere.service": ("missing", "image"),
    }
    assert units["a.service"].links == ("/etc/systemd/system/multi-user.target.wants/a.service",)
    assert units["podman.socket"].dropins == ("10-a.conf",)
    (doubt,) = outcome.report.entries
    assert doubt.message == "there is no unit nowhere.service to enable"
    assert doubt.place.path == "$.systemd.units.9"


def test_the_short_forms(tried: functools.partial[Simulation]) -> None:
    machine = whole(
        tried(
            """
            hostname: node1
            update: {channel: beta}
            quadlets:
              - {name: web.container, contents: "[Container]\\nImage=x\\n[Install]\\nWantedBy=multi-user.target\\n"}
              - {name: data.volume, contents: "[Volume]\\n"}
            """,
            "variant: orlop\nversion: 1.0.0\n",
        )
    )
    assert machine.root["/etc/hostname"].text == "node1\n"
    assert 'channel = "beta"' in (machine.root["/etc/orlop/update.toml"].text or "")
    states = {unit.name: (unit.state, unit.made_from) for unit in machine.units}
    assert states == {
        "web.service": ("enabled", "web.container"),
        "data-volume.service": ("generated", "data.volume"),
    }


def test_disks_are_left_alone_and_told(tried: functools.partial[Simulation]) -> None:
    machine = whole(
        tried("""
            kernel_arguments: {should_exist: [a=b], should_not_exist: [quiet]}
            storage:
              disks: [{device: /dev/vdb, wipe_table: true, partitions: [{number: 1, label: data, size_mib: 5}]}]
              luks: [{name: secret, device: /dev/vdc, key_file: {inline: k}, wipe_volume: true}]
              raid: [{name: md, level: raid1, devices: [/dev/vdd, /dev/vde]}]
              filesystems: [{device: /dev/vdb1, format: ext4, path: /var/data, with_mount_unit: true}]
              files: [{path: /var/data/x, contents: {inline: x}}]
        """)
    )
    assert machine.plan.disks == (
        '/dev/vdb: a new partition table; partition 1 "data", 5 MiB',
        "/dev/md/md: raid1 of /dev/vdd /dev/vde",
        "/dev/mapper/secret: LUKS on /dev/vdc, made anew whatever is there",
        "/dev/vdb1: ext4, mounted at /var/data, made unless it is there",
    )
    assert machine.plan.kernel_add == ("a=b",)
    assert machine.root["/var/data/x"].text == "x"
    assert [(unit.name, unit.state) for unit in machine.units] == [("var-data.mount", "enabled")]


def test_clevis_is_refused_as_on_the_machine(tried: functools.partial[Simulation]) -> None:
    outcome = tried("storage: {luks: [{name: plain, device: /dev/a}, {name: c, device: /dev/b, clevis: {tpm2: true}}]}")
    (entry,) = outcome.report.entries
    assert entry.message == "the stage disks fails: the volume c asks for clevis, which this image does not have"
    assert (entry.place.path, outcome.machine) == ("$.storage.luks.1", None)


def test_kernel_arguments_are_compared_with_the_image(tried: functools.partial[Simulation], base: Base) -> None:
    assert "root=tmpfs" in base.arguments
    assert tried("kernel_arguments: {should_exist: [root=tmpfs], should_not_exist: [foo]}").report.entries == []
    (entry,) = tried("kernel_arguments: {should_exist: [foo]}").report.entries
    assert (entry.severity.value, entry.place.path) == ("warning", "$.kernel_arguments")
    assert entry.message == "not on the kernel command line: foo"


def test_users_and_files_of_systemd(tried: functools.partial[Simulation]) -> None:
    """What is given as sysusers.d and tmpfiles.d is there as well, as on the machine, whose /etc is sealed then."""
    machine = whole(
        tried("""
            storage:
              files:
                - {path: /etc/sysusers.d/x.conf, contents: {inline: "u spare 955 - /var/spare\\n"}}
                - {path: /etc/tmpfiles.d/x.conf, contents: {inline: "d /etc/made 0750 - - -\\n"}}
        """)
    )
    made, spare = machine.root["/etc/made"], machine.users["spare"][1]
    assert (made.kind, made.mode) == (PathKind.FOLDER, 0o750)
    assert spare is not None
    assert spare.uid == 955


REMOTE = """
    ignition:
      config: {{merge: [{{inline: '{inner}'}}, {{source: "{url}/c.ign"}}]}}
    storage:
      files:
        - path: /etc/far
          mode: 0600
          contents: {{source: "{url}/data", verification: {{hash: "sha256-{hash}"}}}}
"""


def test_what_is_elsewhere_is_told_and_not_fetched(tried: functools.partial[Simulation]) -> None:
    deep = {"version": "3.2.0", "config": {"merge": [{"source": "https://far.example/deep.ign"}]}}
    files = [{"path": "/etc/inner", "contents": {"source": "data:,i"}}]
    inner = {"ignition": deep, "storage": {"files": files}}
    body = REMOTE.format(inner=json.dumps(inner), url="https://far.example", hash="a" * 64)
    machine = whole(tried(body))
    assert {(f.url.rpartition("/")[2], f.what, f.verification) for f in machine.plan.fetches} == {
        ("c.ign", "a config merged into this one", ""),
        ("deep.ign", "a config merged into this one", ""),
        ("data", "/etc/far", "sha256-" + "a" * 64),
    }
    assert machine.root["/etc/inner"].text == "i"
    far = machine.root["/etc/far"]
    assert (far.mode, far.source) == (0o600, ("https://far.example/data",))
    assert "far ← https://far.example/data" in show.text(machine)


class TestFetch:
    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        merged = {"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/etc/merged"}]}}
        (tmp_path / "c.ign").write_text(json.dumps(merged))
        (tmp_path / "data").write_text("far away\n")

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

        handler = functools.partial(Quiet, directory=str(tmp_path))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()

    INNER = '{"ignition":{"version":"3.3.0"}}'

    def test_fetched(self, tried: functools.partial[Simulation], url: str) -> None:
        right = hashlib.sha256(b"far away\n").hexdigest()
        machine = whole(tried(REMOTE.format(inner=self.INNER, url=url, hash=right), fetch=True))
        assert machine.root["/etc/far"].text == "far away\n"
        assert "/etc/merged" in machine.root
        assert machine.plan.fetches == ()

    def test_a_wrong_hash(self, tried: functools.partial[Simulation], url: str) -> None:
        outcome = tried(REMOTE.format(inner=self.INNER, url=url, hash="a" * 64), fetch=True)
        (entry,) = outcome.report.entries
        assert "the stage files fails: " in entry.message
        assert "hash verification failed" in entry.message
        assert entry.place.path == "$.storage.files.0"

    def test_a_config_that_is_not_there(self, tried: functools.partial[Simulation], url: str) -> None:
        outcome = tried(f'ignition: {{config: {{replace: {{source: "{url}/none"}}}}}}', fetch=True)
        assert outcome.machine is None
        (entry,) = outcome.report.entries
        assert entry.message.startswith("the stage fetch fails: ")


def test_against(tried: functools.partial[Simulation]) -> None:
    one = whole(tried('storage: {files: [{path: /etc/a, contents: {inline: "x\\n"}}, {path: /etc/b, mode: 0600}]}'))
    two = whole(
        tried("""
            passwd: {groups: [{name: web, gid: 900}]}
            storage: {files: [{path: /etc/a, contents: {inline: "y\\n"}}, {path: /etc/b, mode: 0644}, {path: /etc/c}]}
            systemd: {units: [{name: podman.socket, enabled: true}]}
        """)
    )
    text = against.text(one, two)
    assert "-x\n+y\n" in text
    assert "+ web: gid 900" in text
    assert "+ podman.socket: enabled, of the image" in text
    changed = {entry["path"]: entry for entry in against.document(one, two)["entries"]}
    assert (changed["/etc/a"]["change"], changed["/etc/a"]["why"]) == ("changed", ("contents",))
    assert (changed["/etc/b"]["why"], changed["/etc/b"]["diff"]) == (("mode",), None)
    assert changed["/etc/c"]["change"] == "added"
    assert against.SAME in against.text(one, one)


def test_nothing_is_left(
    base: Base, tried: functools.partial[Simulation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other tests run simulations beside this one
    whole(tried("storage: {files: [{path: /etc/a}]}"))
    assert not list(tmp_path.iterdir())
    assert not list((base.usr / "share/factory/etc").glob("a"))
