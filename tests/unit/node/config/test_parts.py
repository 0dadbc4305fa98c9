"""Platforms, remote contents, failures, what is kept, presets: each a small thing with its own cases."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.node.config import facts, failure, finish, kept, network, remote
from orlop.node.config.kept import Deeds, Kept
from orlop.node.config.platforms import AZURE_CHASSIS, Hardware, config_url, platform, source
from orlop.node.config.rendering import Rendering, ResourceView

MACHINES = {
    "aws": Hardware({"sys_vendor": "Amazon EC2", "product_name": "t3.micro"}, False),
    "gcp": Hardware({"sys_vendor": "Google", "product_name": "Google Compute Engine"}, False),
    "azure": Hardware({"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": AZURE_CHASSIS}, False),
    "openstack": Hardware({"sys_vendor": "OpenStack Foundation", "product_name": "OpenStack Nova"}, False),
    "qemu": Hardware({"sys_vendor": "QEMU"}, True),
    "metal": Hardware({"sys_vendor": "Dell Inc."}, False),
}


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_says_where_it_lives(name: str) -> None:
    assert platform([], MACHINES[name]) == name


def test_more_ways_to_be_openstack_and_hyper_v_is_not_azure() -> None:
    assert platform([], Hardware({"chassis_asset_tag": "OpenStack Nova"}, False)) == "openstack"
    assert platform([], Hardware({"product_name": "OpenStack Compute"}, True)) == "openstack"
    assert platform([], Hardware({"sys_vendor": "Microsoft Corporation"}, False)) == "metal"


def test_the_kernel_command_line_has_the_last_word() -> None:
    words = ["quiet", "ignition.platform.id=metal", "ignition.platform.id=aws"]
    assert platform(words, MACHINES["gcp"]) == "aws"
    assert config_url(["ignition.config.url=http://a", "x", "ignition.config.url=http://b?c=d"]) == "http://b?c=d"
    assert config_url(["quiet"]) == ""


def test_sources_are_told_in_words() -> None:
    assert source("metal", "http://a/b", "") == "the URL on the kernel command line, http://a/b"
    assert source("metal", "", "the file x") == "the file x"
    assert "fw_cfg" in source("qemu", "", "")


def with_remote() -> Rendering:
    return Rendering(
        {
            "ignition": {"version": "3.4.0-experimental", "timeouts": {"httpTotal": 5}},
            "storage": {
                "files": [
                    {"path": "/a", "contents": {"source": "https://x/a", "verification": {"hash": "sha512-0"}}},
                    {"path": "/b", "contents": {"source": "data:,b"}, "append": [{"source": "s3://b/c"}]},
                    {"path": "/c", "contents": {}},
                ],
                "luks": [{"name": "v", "keyFile": {"source": "http://x/key", "compression": "gzip"}}],
            },
        }
    )


def test_remote_contents_are_fetched_in_order() -> None:
    config = with_remote()
    plan = remote.fetch_plan(config, remote.remote(config))
    assert plan.raw["ignition"] == config.raw["ignition"]
    assert [(file.path, file.contents.source) for file in plan.storage.files] == [
        ("/0", "https://x/a"),
        ("/1", "s3://b/c"),
        ("/2", "http://x/key"),
    ]


def test_a_failed_fetch_names_the_address() -> None:
    wanted = [ResourceView({"source": f"http://x/{n}"}) for n in range(11)]
    said = 'writing "/run/f/10": failed to create file "/run/f/1": resource not found'
    assert remote.named(said, "/run/f", wanted) == (
        'writing "http://x/10": failed to create file "http://x/1": resource not found'
    )


def test_a_configuration_without_storage_is_whole_already() -> None:
    assert remote.remote(Rendering({"ignition": {"version": "3.3.0"}})) == []


# what Ignition 2.14 printed for each of these
LOGS = {
    "not valid": (
        "CRITICAL : error at $.storage.files.0.path, line 1 col 61: path not absolute\n"
        "WARNING  : failed to fetch config: config is not valid\n"
        "CRITICAL : failed to acquire config: config is not valid\n"
        "CRITICAL : Ignition failed: config is not valid\n",
        "error at $.storage.files.0.path, line 1 col 61: path not absolute",
        True,
    ),
    "cut off": (
        "CRITICAL : error at line 0 col 0: unexpected end of JSON input\n"
        "CRITICAL : Ignition failed: config is not valid\n",
        "unexpected end of JSON input",
        False,
    ),
    "of the future": (
        "WARNING  : failed to fetch config: unsupported config version\n"
        "CRITICAL : Ignition failed: unsupported config version\n",
        "unsupported config version",
        True,
    ),
    "not there": (
        "INFO     : GET result: Not Found\nWARNING  : failed to fetch config: resource not found\n"
        "CRITICAL : Ignition failed: resource not found\n",
        "resource not found",
        False,
    ),
    "another file system": (
        'ERROR    : disks: createFilesystems: op(3): [failed]   creating filesystem on "/dev/vdb"\n'
        'ERROR    : filesystem at "/dev/vdb" is not of the correct type, label, or UUID (found vfat, "ESP")\n'
        "CRITICAL : Ignition failed: failed to create filesystems: filesystem is not of the correct type\n",
        'filesystem at "/dev/vdb" is not of the correct type, label, or UUID (found vfat, "ESP"); failed to create',
        False,
    ),
    "another hash": (
        "CRITICAL : Ignition failed: hash verification failed (calculated aa but expected 00)\n",
        "hash verification failed (calculated aa but expected 00)",
        False,
    ),
    "silence": ("", "it said nothing", False),
}


@pytest.mark.parametrize("case", LOGS)
def test_what_ignition_said_becomes_one_sentence(case: str) -> None:
    log, reason, reachable = LOGS[case]
    found = failure.read("fetch", log)
    assert reason in found.reason
    assert found.reachable is reachable
    assert "orlop config" in found.hint


@given(st.text())
def test_any_log_has_a_reason(log: str) -> None:
    found = failure.read("files", log)
    assert len(found.reason) <= 2000
    assert found.hint


KEPT = Kept(Rendering({"ignition": {"version": "3.3.0"}}), "somewhere", 1_700_000_000, "ab" * 32)


def test_what_is_kept_comes_back_and_is_written_only_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "config/good.json"
    assert kept.load(path) is None
    assert kept.save(path, KEPT) is True
    assert kept.load(path) == KEPT
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept.save(path, Kept(KEPT.config, KEPT.source, 1_800_000_000, KEPT.sha256)) is False
    assert kept.load(path) == KEPT


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_kept_configuration_with_a_changed_byte_is_not_used(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    path = tmp_path_factory.mktemp("kept") / "good.json"
    kept.save(path, KEPT)
    raw = bytearray(path.read_bytes())
    place %= len(raw)
    raw[place] = byte
    path.write_bytes(raw)
    try:
        found = kept.load(path)
    except BadInput:
        return
    assert found == KEPT, "only a change that says the same is let through"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("lstat /sysroot/var/games: no such file or directory", "leave `home_dir` out"),
        ("failed to configure users: useradd: group 'nope' does not exist", "passwd.groups"),
        ("failed to configure users: useradd: UID 1 is not unique", "another number"),
        ("failed to configure users: something else", "a user's groups must exist"),
    ],
)
def test_what_to_do_is_as_near_as_the_reason_lets_it_be(reason: str, words: str) -> None:
    log = f"CRITICAL : Ignition failed: failed to create users/groups: {reason}\n"
    assert words in failure.read("files", log).hint


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 9, "content": {}}', "\x00", "[" * 90_000]
)
def test_garbage_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    with pytest.raises(BadInput):
        kept.load(path)
    with pytest.raises(BadInput):
        kept.load_deeds(path)
    assert kept.save(path, KEPT) is True, "and replaced"


def test_deeds_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "done.json"
    assert kept.load_deeds(path) == Deeds()
    kept.save_deeds(path, Deeds(frozenset({"a:1", "b:2"})))
    assert kept.load_deeds(path).done == {"a:1", "b:2"}
    assert json.loads(path.read_text())["content"] == {"done": ["a:1", "b:2"]}
    begun = Deeds(frozenset({"a:1"}), frozenset({"b:2"}), {"/var/x": None, "/var/y": 7})
    kept.save_deeds(path, begun)
    assert kept.load_deeds(path) == begun


@pytest.mark.parametrize(
    "content",
    [{}, {"done": [1]}, {"done": [], "begun": ""}, {"done": [], "paths": []}, {"done": [], "paths": {"/a": -1}}],
)
def test_deeds_of_another_form_are_not_believed(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "done.json"
    check = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path.write_text(json.dumps({"schema": 1, "check": check, "content": content}))
    with pytest.raises(BadInput, match=r"is damaged: (done|begun|paths)"):
        kept.load_deeds(path)


def test_a_preset_is_read_as_ignition_writes_it() -> None:
    text = "enable a.service\ndisable b.service\nenable t@.service one two\n\n# x\nenable a.service\n"
    found = finish.parse_preset(text)
    assert found.enable == ("a.service", "t@one.service", "t@two.service")
    assert found.disable == ("b.service",)


def test_a_unit_is_there_by_its_own_name_or_its_templates(tmp_path: Path) -> None:
    for name in ("etc/systemd/system/a.service", "usr/lib/systemd/system/t@.service"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [
        finish.is_there(tmp_path, u) for u in ("a.service", "t@x.service", "t@.service", "b.service", "t@x.socket")
    ] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_what_is_about_one_boot_leaves_etc(tmp_path: Path) -> None:
    root, run = tmp_path / "root", tmp_path / "run"
    (root / "etc").mkdir(parents=True)
    run.mkdir()
    for name in (".ignition-result.json", "passwd-", ".pwd.lock", "passwd"):
        (root / "etc" / name).write_text(name)
    finish.clean(root, run)
    assert [p.name for p in (root / "etc").iterdir()] == ["passwd"]
    assert (run / "ignition-result.json").read_text() == ".ignition-result.json"


def test_the_network_is_up_when_an_address_leads_out() -> None:
    text = (
        "# private\nADMIN_STATE=x\nOPER_STATE=routable\nADDRESS_STATE=routable\nDNS=10.0.2.3 fe80::1\nDOMAINS=a.test\n"
    )
    assert network.state(text) == (True, ["10.0.2.3", "fe80::1"], ["a.test"])
    assert network.state("OPER_STATE=carrier\nADDRESS_STATE=off\n")[0] is False
    assert network.state("") == (False, [], [])
    assert network.resolv_conf(["1.1.1.1"], ["a.test", "b.test"]) == "nameserver 1.1.1.1\nsearch a.test b.test\n"
    assert network.resolv_conf([], []) == ""


def test_network_adapters_are_told_from_other_devices() -> None:
    assert network.is_adapter("virtio:d00000001v00001AF4")
    assert network.is_adapter("pci:v00008086d0000100Esv00sd00bc02sc00i00")
    assert not network.is_adapter("virtio:d00000002v00001AF4")
    assert not network.is_adapter("pci:v00008086d00007000sv00sd00bc06sc01i00")


def test_partitions_and_paths_are_read_from_the_machine(tmp_path: Path) -> None:
    for number, label in ((2, "data"), (1, "")):
        part = tmp_path / f"sys/vdb/vdb{number}"
        part.mkdir(parents=True)
        (part / "partition").write_text(f"{number}\n")
        (part / "uevent").write_text(
            f"DEVNAME=vdb{number}\nPARTN={number}\n" + (f"PARTNAME={label}\n" if label else "")
        )
    found = facts.partitions("/dev/vdb", tmp_path / "sys")
    assert [(p.number, p.label) for p in found] == [(1, ""), (2, "data")]
    assert facts.partitions("/dev/vdz", tmp_path / "sys") == ()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").touch()
    assert facts.kinds(tmp_path, ["/link", "/file", "/sys", "/none"]) == {
        "/link": "link",
        "/file": "file",
        "/sys": "dir",
    }


def test_the_kernel_gets_its_own_helper_back(tmp_path: Path) -> None:
    helper = tmp_path / "modprobe"
    helper.write_text("/sbin/modprobe\n")
    with facts.all_modules(helper):
        assert helper.read_text() == facts.ALL_MODULES
    assert helper.read_text() == "/sbin/modprobe\n"


def test_a_key_is_made_once(tmp_path: Path) -> None:
    first = facts.own_key(tmp_path / "luks", "data")
    assert facts.own_key(tmp_path / "luks", "data") == first
    assert facts.own_key(tmp_path / "luks", "other") != first
    assert (tmp_path / "luks/data.key").stat().st_mode & 0o777 == 0o400
