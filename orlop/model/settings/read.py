"""Settings read strictly, by their table: the reader of every program that has them in a file.

Invariant: what is not whole and within its bounds gives no values at all. Half of what somebody wished for is not what
they wished for.
"""

from __future__ import annotations

from typing import Any

from orlop.model.settings.table import Setting, SettingsTable, SettingValues
from orlop.model.words.strict import Fields, Wrong


def read(table: SettingsTable, fields: Fields) -> SettingValues:
    """Every setting of the table. Raises BadInput, naming the setting."""
    fields.only(*(setting.name for setting in table.settings))
    for setting in table.settings:
        if setting.needs is not None:
            value, beside = setting.needs
            if fields.values.get(setting.name) == value and not fields.has(beside):
                raise Wrong(setting.lacks(fields.at(setting.name)), hint=f"add {beside}")
    return SettingValues({setting.name: _value(setting, fields) for setting in table.settings})


def _value(setting: Setting[Any], fields: Fields) -> object:
    called = fields.at(setting.name)
    if not fields.has(setting.name):
        if setting.required:
            raise Wrong(f"{called} is missing")
        if setting.many:
            return ()
        return _one(setting, setting.usually, called) if setting.default else None
    if not setting.many:
        return _one(setting, fields.values[setting.name], called)
    given = fields.value(setting.name, list)
    if len(given) > setting.many:
        raise Wrong(f"{called} has {len(given)} entries, at most {setting.many} are read")
    for n, value in enumerate(given):
        if value in given[:n]:
            raise Wrong(f"{called}[{n}] is there twice")
    return tuple(_one(setting, value, f"{called}[{n}]") for n, value in enumerate(given))


def _one(setting: Setting[Any], value: object, called: str) -> object:
    if isinstance(setting.kind, SettingsTable):
        return read(setting.kind, Fields.of(called, value))
    return setting.one(value, called)
