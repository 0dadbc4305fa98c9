"""What `orlop config check` accepts the machine accepts, and the other way round: each border as it is, end to end."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.settings.health import HEALTH, SECONDS
from orlop.model.settings.update import UPDATE
from orlop.node.update.keys import root_keys
from orlop.node.update.settings import LARGEST, UpdateSettings, parse
from simulators.repository import RepositorySimulator
from tests.unit.model.settings.borders import POOLS, checked, toml, values
from tests.unit.provision.texts import Memory

OS = Path(__file__).parents[4] / "os/mkosi.extra/usr/lib/orlop"
ROOT = RepositorySimulator().first_root


def read(raw: bytes) -> UpdateSettings | None:
    try:
        return parse(raw)
    except BadInput:
        return None


@settings(max_examples=1500, deadline=None)
@given(values(UPDATE))
@example({"pin": "20261301.1"})
@example({"pin": "20260231.1"})
@example({"strategy": "window", "window": {"start": "02:30", "minutes": 5, "timezone": "Europe/Berlinn"}})
@example({"strategy": "window", "window": {"start": "02:30", "minutes": 1441}})
@example({"urls": ["file:///mnt/orlop"]})
@example({"urls": ["http://a", "http://a"]})
@example({"channel": "root"})
def test_updates(update: dict[str, Any]) -> None:
    files, by_hand = checked({"update": update}), read(toml(update))
    assert (files is None) == (by_hand is None)
    if files is not None:
        assert parse(files["/etc/orlop/update.toml"]) == by_hand


def test_both_borders_are_passed_often_enough_to_say_something() -> None:
    passed = [0, 0]

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(values(UPDATE))
    def count(update: dict[str, Any]) -> None:
        passed[read(toml(update)) is not None] += 1

    count()
    assert min(passed) > 30


@pytest.mark.parametrize("name", ["urls", "no_proxy"])
def test_the_most_that_can_be_written_is_read_and_no_more(name: str) -> None:
    """The longest list of the longest values fits into what the machine reads of the file; one more is refused."""
    setting = next(setting for setting in UPDATE.settings if setting.name == name)
    longest = "file:///" + "\u6f22" * 1991 if name == "urls" else "a" * 250
    most = [f"{longest[: -len(str(n))]}{n}" for n in range(setting.many + 1)]
    files = checked({"update": {name: most[:-1]}})
    assert files is not None
    raw = files["/etc/orlop/update.toml"]
    assert len(raw) < LARGEST // 2
    assert read(raw)
    assert checked({"update": {name: most}}) is None
    assert read(toml({name: most})) is None


def shell(text: str) -> tuple[int, ...] | None:
    """What the health check reads of a file of settings: seconds for each, None when it refuses the file."""
    script = f'. {OS}/health-user; settings "$1"; echo "${{settings_problem:-$timeout $soak $wait}}"'
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        words = ["sh", "-uc", script, "sh", file.name]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    return None if done.stdout.startswith("/") else tuple(map(int, done.stdout.split()))


@settings(max_examples=120, deadline=None)
@given(values(HEALTH, skip=("checks",)))
def test_health_as_it_is_configured(health: dict[str, str]) -> None:
    files = checked({"health": health})
    if files is not None:
        read_there = shell(files["/etc/orlop/health.conf"].decode())
        assert read_there == tuple(s.one(health.get(s.name, s.default), s.name) for s in SECONDS)


@pytest.mark.parametrize("setting", SECONDS, ids=lambda s: s.name)
@pytest.mark.parametrize("seconds", [0, 1, 599, 600, 601, 86399, 86400, 86401, 999999])
def test_health_as_it_is_written_by_hand(setting: Any, seconds: int) -> None:
    by_hand = shell(f"{setting.name.upper()}={seconds}\n")
    assert (checked({"health": {setting.name: f"{seconds}s"}}) is None) == (by_hand is None)


def test_health_without_a_file_has_the_defaults_of_the_table() -> None:
    assert shell("") == tuple(s.one(s.default, s.name) for s in SECONDS)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(ROOT) - 1), st.binary(max_size=2))
@example(0, ROOT[:1])
def test_root_keys(tmp_path_factory: pytest.TempPathFactory, at: int, instead: bytes) -> None:
    raw = ROOT[:at] + instead + ROOT[at + 1 :]
    files = checked({"trust": {"root_local": "root.json"}}, Memory({"root.json": raw}))
    top = tmp_path_factory.mktemp("top")
    (top / "etc/orlop").mkdir(parents=True)
    (top / "etc/orlop/root.json").write_bytes(raw)
    try:
        keys = root_keys(top)
    except BadInput:
        keys = None
    assert (files or {}).get("/etc/orlop/root.json") == keys


def test_every_kind_has_values_that_are_right_and_values_that_are_wrong() -> None:
    assert all(right and wrong for right, wrong in POOLS.values())
