"""The rules that make a first-boot configuration right at every boot."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.node.config.eachboot import (
    Disks,
    FileSystem,
    Partition,
    PathsThere,
    deed,
    for_disks,
    for_files,
    has_disks,
    is_below,
    keyless,
    owned_paths,
    persistent_roots,
    watched_paths,
)
from orlop.node.config.failure import StageFailed
from orlop.node.config.rendering import Rendering

DATA = {"device": "/dev/vdb", "format": "ext4", "label": "data", "path": "/srv", "wipeFilesystem": True}
DISK = {
    "device": "/dev/vdb",
    "wipeTable": True,
    "partitions": [{"label": "data", "sizeMiB": 100}, {"label": "logs"}],
}


def config(**storage: Any) -> Rendering:
    return Rendering({"ignition": {"version": "3.4.0-experimental"}, "storage": storage})


def storage(applied: Any, kind: str) -> Any:
    return applied.config.raw["storage"][kind]


def test_a_wipe_is_done_at_the_first_boot_and_never_again() -> None:
    first = for_disks(config(filesystems=[DATA]), Disks())
    assert storage(first, "filesystems")[0]["wipeFilesystem"] is True
    assert first.notes == ()
    again = for_disks(config(filesystems=[DATA]), Disks(done=first.deeds))
    assert storage(again, "filesystems")[0]["wipeFilesystem"] is False
    assert "wiped at an earlier boot" in again.notes[0]


@pytest.mark.parametrize("kind", ["disks", "raid", "luks", "filesystems"])
def test_stages_for_disks_run_when_there_is_something_about_disks(kind: str) -> None:
    assert has_disks(config(**{kind: [{}]}))
    assert not has_disks(config(**{kind: []}))
    assert not has_disks(Rendering({"ignition": {}}))


def test_a_file_system_that_was_being_made_when_the_power_went_is_made_anew_whatever_it_looks_like() -> None:
    whole = {"/dev/vdb": FileSystem("ext4", "data")}
    first = for_disks(config(filesystems=[DATA]), Disks())
    assert first.begins == first.deeds
    again = for_disks(config(filesystems=[DATA]), Disks(begun=first.begins, filesystems=whole))
    assert storage(again, "filesystems")[0]["wipeFilesystem"] is True
    assert again.begins == first.begins
    assert "made anew" in again.notes[0]
    kept = for_disks(config(filesystems=[DATA]), Disks(filesystems=whole))
    assert storage(kept, "filesystems")[0]["wipeFilesystem"] is False
    assert kept.begins == frozenset()
    done = for_disks(config(filesystems=[DATA]), Disks(first.deeds, first.begins, filesystems=whole))
    assert storage(done, "filesystems")[0]["wipeFilesystem"] is False


def test_another_wish_is_another_wipe() -> None:
    first = for_disks(config(filesystems=[DATA]), Disks())
    changed = for_disks(config(filesystems=[{**DATA, "format": "xfs"}]), Disks(done=first.deeds))
    assert storage(changed, "filesystems")[0]["wipeFilesystem"] is True


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (FileSystem("ext4", "data"), True),
        (FileSystem("ext4", "other"), False),
        (FileSystem("xfs", "data"), False),
        (FileSystem("ext4"), False),
        (None, False),
    ],
)
def test_a_file_system_that_is_as_wished_is_not_wiped(found: FileSystem | None, kept: bool) -> None:
    there = Disks(filesystems={"/dev/vdb": found} if found else {})
    applied = for_disks(config(filesystems=[DATA]), there)
    assert storage(applied, "filesystems")[0]["wipeFilesystem"] is not kept


def test_a_file_system_without_a_name_is_wiped_once_however_it_looks() -> None:
    nameless = {"device": "/dev/vdb", "format": "ext4", "wipeFilesystem": True}
    applied = for_disks(config(filesystems=[nameless]), Disks(filesystems={"/dev/vdb": FileSystem("ext4")}))
    assert storage(applied, "filesystems")[0]["wipeFilesystem"] is True


def test_a_uuid_counts_whatever_its_case() -> None:
    wished = {"device": "/dev/vdb", "format": "xfs", "uuid": "AB-CD", "wipeFilesystem": True}
    applied = for_disks(config(filesystems=[wished]), Disks(filesystems={"/dev/vdb": FileSystem("xfs", "", "ab-cd")}))
    assert storage(applied, "filesystems")[0]["wipeFilesystem"] is False


def test_partitions_without_numbers_are_known_by_their_labels() -> None:
    there = Disks(partitions={"/dev/vdb": [Partition(1, "logs"), Partition(4, "data")]})
    disk = storage(for_disks(config(disks=[DISK]), there), "disks")[0]
    assert [p["number"] for p in disk["partitions"]] == [4, 1]
    assert disk["wipeTable"] is False


def test_a_table_that_lacks_a_partition_is_wiped_the_first_time_only() -> None:
    there = {"/dev/vdb": [Partition(1, "logs")]}
    first = for_disks(config(disks=[DISK]), Disks(partitions=there))
    assert storage(first, "disks")[0]["wipeTable"] is True
    again = for_disks(config(disks=[DISK]), Disks(done=first.deeds, partitions=there))
    assert storage(again, "disks")[0]["wipeTable"] is False
    assert [p.get("number") for p in storage(again, "disks")[0]["partitions"]] == [None, 1], "only what is missing"


def test_a_partition_that_nothing_tells_from_others_is_made_once() -> None:
    disk = {"device": "/dev/vdb", "partitions": [{"sizeMiB": 10}, {"number": 7, "sizeMiB": 5}]}
    first = for_disks(config(disks=[disk]), Disks())
    assert storage(first, "disks")[0]["partitions"] == disk["partitions"]
    again = for_disks(config(disks=[disk]), Disks(done=first.deeds, partitions={"/dev/vdb": [Partition(1, "")]}))
    assert storage(again, "disks")[0]["partitions"] == [{"number": 7, "sizeMiB": 5}]


def test_an_array_is_made_once_and_then_assembled() -> None:
    array = {"name": "pool", "level": "raid1", "devices": ["/dev/vdb", "/dev/vdc"]}
    first = for_disks(config(raid=[array]), Disks())
    assert (storage(first, "raid"), first.assemble) == ([array], ())
    again = for_disks(config(raid=[array]), Disks(done=first.deeds))
    assert (storage(again, "raid"), again.assemble) == ([], (("pool", ("/dev/vdb", "/dev/vdc")),))


def test_an_encrypted_volume_gets_a_key_of_the_machines_own() -> None:
    given = config(luks=[{"name": "a", "wipeVolume": True}, {"name": "b", "keyFile": {"source": "data:,k"}}])
    assert keyless(given) == ["a"]
    first = for_disks(given, Disks(keys={"a": "data:,own"}))
    assert [v["keyFile"]["source"] for v in storage(first, "luks")] == ["data:,own", "data:,k"]
    assert storage(first, "luks")[0]["wipeVolume"] is True
    again = for_disks(given, Disks(done=first.deeds, keys={"a": "data:,own"}))
    assert storage(again, "luks")[0]["wipeVolume"] is False


@pytest.mark.parametrize("clevis", [{"tpm2": True}, {"tang": [{"url": "http://x"}]}, {"custom": {"pin": "tpm2"}}])
def test_clevis_is_refused_by_name(clevis: dict[str, Any]) -> None:
    with pytest.raises(StageFailed, match="the volume a asks for clevis"):
        for_disks(config(luks=[{"name": "a", "clevis": clevis}]), Disks(keys={"a": "data:,k"}))


FILE: dict[str, Any] = {"path": "/var/f", "contents": {"source": "data:,x"}}
FILES: dict[str, tuple[dict[str, Any], str, dict[str, Any] | None, bool]] = {
    "content is written anew": (FILE, "file", {**FILE, "overwrite": True}, False),
    "content replaces a link": (FILE, "link", {**FILE, "overwrite": True}, False),
    "a seed is made when it is missing": ({**FILE, "overwrite": False}, "", {**FILE, "overwrite": True}, False),
    "a seed is left alone": ({**FILE, "overwrite": False}, "file", None, False),
    "a folder in the way is moved": (FILE, "dir", {**FILE, "overwrite": True}, True),
    "only a mode": ({"path": "/var/f", "mode": 384}, "file", {"path": "/var/f", "mode": 384}, False),
    "outside of /var nothing is touched": ({**FILE, "path": "/etc/f"}, "dir", {**FILE, "path": "/etc/f"}, False),
    "a name that only begins like /var": ({**FILE, "path": "/variant"}, "dir", {**FILE, "path": "/variant"}, False),
}


@pytest.mark.parametrize("case", FILES)
def test_files(case: str) -> None:
    file, there, expected, moved = FILES[case]
    applied = for_files(config(files=[file]), PathsThere({file["path"]: there} if there else {}))
    assert storage(applied, "files") == ([expected] if expected else [])
    assert applied.aside == ((file["path"],) if moved else ())


def test_what_is_appended_is_appended_once_and_again_when_it_changes() -> None:
    file = {"path": "/var/log/x", "append": [{"source": "data:,a"}]}
    first = for_files(config(files=[file]), PathsThere({"/var/log/x": "file"}))
    assert storage(first, "files")[0]["append"] == file["append"]
    again = for_files(config(files=[file]), PathsThere({"/var/log/x": "file"}, first.deeds))
    assert storage(again, "files")[0]["append"] == []
    lost = for_files(config(files=[file]), PathsThere({}, first.deeds))
    assert storage(lost, "files")[0]["append"] == file["append"], "the file is gone, so it is made again"
    changed = {**file, "append": [{"source": "data:,b"}]}
    assert storage(for_files(config(files=[changed]), PathsThere({}, first.deeds)), "files")[0]["append"]


def test_content_with_an_append_is_whole_at_every_boot() -> None:
    file = {**FILE, "append": [{"source": "data:,y"}]}
    for _ in range(2):
        applied = for_files(config(files=[file]), PathsThere({"/var/f": "file"}))
        assert storage(applied, "files")[0] == {**file, "overwrite": True}


def test_a_folder_is_never_emptied() -> None:
    folder = {"path": "/var/data", "overwrite": True, "mode": 448}
    applied = for_files(config(directories=[folder]), PathsThere({"/var/data": "dir"}))
    assert storage(applied, "directories") == [{**folder, "overwrite": False}]
    assert applied.aside == ()
    moved = for_files(config(directories=[folder]), PathsThere({"/var/data": "file"}))
    assert moved.aside == ("/var/data",)


def test_links() -> None:
    link = {"path": "/var/l", "target": "x"}
    assert storage(for_files(config(links=[link]), PathsThere({"/var/l": "link"})), "links") == [
        {**link, "overwrite": True}
    ]
    assert for_files(config(links=[link]), PathsThere({"/var/l": "dir"})).aside == ("/var/l",)
    hard = {**link, "hard": True}
    assert for_files(config(links=[hard]), PathsThere({"/var/l": "file"})).aside == ()


def test_mount_points_of_the_configuration_persist_too() -> None:
    given = config(filesystems=[DATA], files=[{**FILE, "path": "/srv/f"}])
    assert persistent_roots(given) == ("/var", "/srv")
    assert storage(for_files(given, PathsThere({"/srv/f": "file"})), "files")[0]["overwrite"] is True
    assert owned_paths(given) == {"/srv/f": "storage.files.0"}


def test_what_was_only_a_beginning_is_not_watched() -> None:
    seed, grown = {**FILE, "path": "/var/seed", "overwrite": False}, {"path": "/var/grown", "append": []}
    etc = {"path": "/etc/f", "overwrite": False, "contents": {"source": "data:,"}}
    given = config(files=[FILE, seed, grown, etc], directories=[{"path": "/var/d"}])
    assert set(owned_paths(given)) == {"/var/f", "/var/seed", "/var/grown", "/etc/f", "/var/d"}
    assert watched_paths(given) == {
        "/var/f": "storage.files.0",
        "/etc/f": "storage.files.3",
        "/var/d": "storage.directories.0",
    }


@pytest.mark.parametrize(
    ("path", "expected"), [("/var", True), ("/var/a", True), ("/varnish", False), ("/", False), ("/etc/var", False)]
)
def test_is_below(path: str, expected: bool) -> None:
    assert is_below(path, ("/var",)) is expected


paths = st.sampled_from(["/var/a", "/var/b/c", "/etc/a", "/srv/x"])
source = st.sampled_from([None, "data:,1", "data:,2"])
entry = st.fixed_dictionaries(
    {"path": paths},
    optional={
        "overwrite": st.booleans(),
        "contents": st.builds(lambda s: {"source": s} if s is not None else {}, source),
        "append": st.lists(st.just({"source": "data:,x"}), max_size=2),
        "hard": st.booleans(),
        "wipeFilesystem": st.booleans(),
    },
)
kinds = st.dictionaries(paths, st.sampled_from(["file", "dir", "link", "other"]))


@given(files=st.lists(entry), directories=st.lists(entry), links=st.lists(entry), there=kinds)
def test_nothing_is_changed_in_place_and_the_second_time_changes_nothing_more(
    files: list[Any], directories: list[Any], links: list[Any], there: dict[str, str]
) -> None:
    given_config = config(files=files, directories=directories, links=links)
    before = copy.deepcopy(given_config)
    first = for_files(given_config, PathsThere(there))
    assert given_config == before
    assert all(is_below(path, ("/var",)) for path in first.aside)
    assert all(f["overwrite"] is False for f in storage(first, "directories") if is_below(f["path"], ("/var",)))
    again = for_files(given_config, PathsThere(there, first.deeds))
    assert again.deeds == first.deeds
    for file in storage(again, "files"):
        if is_below(file["path"], ("/var",)) and (file.get("contents") or {}).get("source") is None:
            assert not file.get("append") or file["path"] not in there or there[file["path"]] in ("dir", "other")


@given(st.dictionaries(st.text(), st.integers()), st.dictionaries(st.text(), st.integers()))
def test_two_wishes_are_one_deed_only_when_they_are_the_same(a: dict[str, int], b: dict[str, int]) -> None:
    assert (deed("x", a) == deed("x", b)) is (a == b)
    assert deed("x", a) != deed("y", a)
