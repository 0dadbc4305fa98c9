"""No setting without a reader: each is listed with the code that acts on it, and that code does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import OrlopError
from orlop.model.settings import document
from orlop.model.settings.document import FILES, SETTINGS, UNREAD
from orlop.model.settings.table import Setting, SettingsTable
from orlop.model.settings.update import UPDATE
from orlop.node.update.settings import UpdateSettings, parse
from orlop.provision.reference import markdown
from orlop.provision.schema import Type
from orlop.provision.spec_base import BASE
from orlop.provision.spec_variants import ORLOP
from tests.unit.model.settings.borders import checked, toml

REPOSITORY = Path(__file__).parents[4]
PROGRAMS = ("systemd", "podman's Quadlet generator")  # of the system, not ours

# one value a setting that is not its default, and what must be there with it
OTHER: dict[str, dict[str, Any]] = {
    "channel": {"channel": "beta"},
    "urls": {"urls": ["https://a"]},
    "group": {"group": "web"},
    "pin": {"pin": "20261201.1"},
    "proxy": {"proxy": "http://p:1"},
    "no_proxy": {"no_proxy": ["a"]},
    "bandwidth": {"bandwidth": "1M"},
    "check_every": {"check_every": "1h"},
    "strategy": {"strategy": "off"},
    "window": {"strategy": "window", "window": {"start": "02:30", "minutes": 60}},
    "window.days": {"strategy": "window", "window": {"start": "02:30", "minutes": 60, "days": ["mon"]}},
    "window.start": {"strategy": "window", "window": {"start": "02:31", "minutes": 60}},
    "window.minutes": {"strategy": "window", "window": {"start": "02:30", "minutes": 61}},
    "window.timezone": {"strategy": "window", "window": {"start": "02:30", "minutes": 60, "timezone": "Asia/Tokyo"}},
    "lock": {"lock": {"url": "http://a"}},
    "lock.url": {"lock": {"url": "http://b"}},
    "lock.group": {"lock": {"url": "http://a", "group": "b"}},
}


def listed(table: SettingsTable, above: str = "") -> Iterator[tuple[str, Setting[Any]]]:
    """Every setting by its path."""
    for setting in table.settings:
        yield above + setting.name, setting
        if isinstance(setting.kind, SettingsTable):
            yield from listed(setting.kind, f"{above}{setting.name}.")


EVERY = dict(listed(SETTINGS))


@pytest.mark.parametrize("path", EVERY)
def test_every_setting_names_its_reader_and_the_reader_names_it(path: str) -> None:
    setting = EVERY[path]
    if setting.reader in PROGRAMS:
        return
    code = REPOSITORY / setting.reader
    assert code.is_file(), f"{path} is read by {setting.reader}, which is not there"
    # a script has them in capitals; the checks are a folder of programs, one a name
    words = {setting.name, setting.name.upper(), *(("CHECKS",) if path.startswith("health.checks") else ())}
    assert any(word in code.read_text() for word in words), f"{setting.reader} does not speak of {path}"
    assert setting.reader in markdown()


@pytest.mark.parametrize("path", dict(listed(UPDATE)))
def test_a_setting_of_updates_makes_a_difference_to_its_reader(path: str) -> None:
    parent = path.rpartition(".")[0]
    assert parse(toml(OTHER[path])) != parse(toml(OTHER.get(parent, {})))


@pytest.mark.parametrize("name", [field.name for field in fields(UpdateSettings)])
def test_what_was_read_is_used(name: str) -> None:
    """Somewhere in the engine, by its name: `….pin`."""
    ours = REPOSITORY / "orlop/node/update"
    trees = (ast.parse(path.read_text()) for path in ours.rglob("*.py"))
    used = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert name in used


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.settings)
def test_every_file_has_a_program_that_opens_it(file: document.SettingsFile) -> None:
    setting = EVERY[file.settings.removesuffix("[]")]
    if setting.reader in PROGRAMS:
        return
    names = {name for name, value in vars(document).items() if name.endswith("_PLACE") and value in file.place}
    text = (REPOSITORY / setting.reader).read_text()
    assert names and any(word in text for word in (*names, file.place.removesuffix("/NAME")))


@pytest.mark.parametrize("key", UNREAD)
def test_what_nobody_reads_is_refused_and_nothing_in_the_system_speaks_of_it(key: str) -> None:
    top, _, rest = key.partition(".")
    assert checked({top: {rest: [{"name": "a"}]} if rest else {"servers": ["https://a"]}}) is None
    assert f"- `{key}`: {UNREAD[key]}" in markdown()


def test_the_short_forms_beyond_the_table_have_readers_too() -> None:
    base = {field.name for field in BASE}
    for field in ORLOP.fields:
        if field.name not in base:
            assert field.reader
            assert isinstance(field.kind, Type) or field.name == "hostname"
            if isinstance(field.kind, Type):
                assert all(below.reader for below in field.kind.fields)


def test_a_default_is_a_value_that_may_be_given() -> None:
    for path, setting in EVERY.items():
        if setting.default:
            try:
                setting.one(setting.usually, path)
            except OrlopError as e:
                pytest.fail(f"the default of {path}: {e}")
