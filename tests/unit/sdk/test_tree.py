"""When the SDK is made anew, and from what."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.sdk.sources import Sources
from orlop.sdk.tree import KEY_FILE, PACKAGES, bootstrap_argv, hint_for, is_current, packages, wanted_key

NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,20}", fullmatch=True)
SOURCES = Sources("http://mirror.test/debian", "http://mirror.test/debian-security", (("Acquire::Retries", "3"),))


@given(st.lists(NAMES), st.sampled_from(["", " # why", "   ", "#x"]))
def test_a_list_is_names_and_comments(names: list[str], after: str) -> None:
    text = "# head\n\n" + "".join(f"{name}{after}\n" for name in names)
    assert packages(text) == names


def test_our_own_list_names_each_package_once() -> None:
    names = packages(PACKAGES.read_text())
    assert len(names) == len(set(names))
    assert all(" " not in name for name in names)


def listing(folder: Path, text: str) -> Path:
    path = folder / "packages.list"
    path.write_text(text)
    return path


@given(names=st.lists(NAMES, unique=True, min_size=1), other=NAMES, data=st.data())
def test_the_key_follows_the_packages_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], other: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    key = wanted_key(listing(folder, "\n".join(names)))
    shuffled = data.draw(st.permutations(names))
    assert wanted_key(listing(folder, "# said otherwise\n" + " # why\n".join(shuffled))) == key
    if other not in names:
        assert wanted_key(listing(folder, "\n".join([*names, other]))) != key


def test_only_a_tree_with_todays_key_is_current(tmp_path: Path) -> None:
    sdk, names = tmp_path / "sdk", listing(tmp_path, "zstd\n")
    assert not is_current(sdk, names)
    sdk.mkdir()
    assert not is_current(sdk, names)
    (sdk / KEY_FILE).write_text("of another day\n")
    assert not is_current(sdk, names)
    (sdk / KEY_FILE).write_text(wanted_key(names) + "\n")
    assert is_current(sdk, names)
    names.write_text("zstd\ntar\n")
    assert not is_current(sdk, names)


def test_a_file_in_the_trees_place_is_not_current(tmp_path: Path) -> None:
    (tmp_path / "sdk").write_text("x")
    assert not is_current(tmp_path / "sdk", listing(tmp_path, "zstd\n"))


@pytest.mark.parametrize("sources", [SOURCES, None])
def test_every_mount_is_made_in_namespaces_that_die_with_the_caller(sources: Sources | None) -> None:
    argv = bootstrap_argv(Path("/t"), ["zstd", "tar"], Path("/a 'cache'"), sources)
    before = argv[: argv.index("mmdebstrap")]
    assert before[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert {"--mount", "--pid", "--kill-child=KILL"} <= set(before)
    assert "--include=zstd,tar" in argv
    assert any("mount --bind '/a '\"'\"'cache'\"'\"'' " in arg for arg in argv)


def test_the_archive_and_its_settings_are_passed_on() -> None:
    argv = bootstrap_argv(Path("/t"), ["zstd"], Path("/c"), SOURCES)
    assert '--aptopt=Acquire::Retries "3"' in argv
    assert argv[-5:] == ["trixie", "/t", *SOURCES.lines()]
    assert bootstrap_argv(Path("/t"), ["zstd"], Path("/c"), None)[-2:] == ["trixie", "/t"]


@pytest.mark.parametrize(
    ("tail", "hint"),
    [
        ("E: write error: No space left on device", "ORLOP_STATE"),
        ("W: Temporary failure resolving 'mirror.test'", "check the network"),
        ("E: The repository is not signed.", "debian-archive-keyring"),
        ("unshare: write failed /proc/self/uid_map", "subuid"),
        ("anything else", "run the same again"),
    ],
)
def test_a_failure_names_the_next_step(tail: str, hint: str) -> None:
    assert hint in hint_for(tail)
