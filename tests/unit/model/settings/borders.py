"""The two borders that a setting passes: `orlop config check` on the operator's desk, and the program on the machine.

SettingValues are drawn by kind: right ones, wrong ones that were seen, and texts that are nearly right.
"""

from __future__ import annotations

import gzip
import json
import urllib.request
from typing import Any

from hypothesis import strategies as st

from orlop.model.settings import kinds
from orlop.model.settings.kinds import ValueKind, WholeNumber
from orlop.model.settings.table import Setting, SettingsTable
from orlop.provision.local import LocalFiles
from orlop.provision.translate import translate

_WEB = ["http://a", "https://releases.example:8443/a%20b?x=y#z", "http://u:p@[::1]:80/", "http://[::1%25eth0]"]
_NO_WEB = ["http://", "ftp://a", "HTTP://a", "http://a..b", "http://h:99999", "http://[bad", "http://h/é", "http://a b",
           "http://" + "a" * 64, "http://h/" + "x" * kinds.MAX_URL, "http://\u2024", "", "a"]  # fmt: skip
_FOLDERS = ["file:///mnt/orlop", "file:///mnt/é", "file:///"]
_NO_FOLDERS = ["file://host/a", "file:///a%00b", "file:///a\nb", "file:mnt", "/mnt"]
_NAMES = ["stable", "a", "my-lab2", "z" * 31]
_NO_NAMES = ["Stable", "1st", "", "a_b", "z" * 32, "stable\n", "ä"]
_LENGTHS = ["10s", "90s", "5m", "4h", "240m", "0s", "0m", "1s", "600s", "10m", "24h", "86400s", "60s"]
_NO_LENGTHS = ["", "9", "9 s", "5 min", "1m30s", "-1s", "05s", "1.5h", "25h", "86401s", "9999999s", "٣s", "5s\n", "1d"]

# by kind: right values, wrong ones
POOLS: dict[int, tuple[list[str], list[str]]] = {
    id(kinds.HOST_NAME): (["a", "node-1.example", "x" * 63], ["-a", "a_b", "a.", "", ".".join(["a" * 33] * 2)]),
    id(kinds.FILE_NAME): (["10-web", "a.b_c"], ["", ".a", "../a", "a/b", "a" * 129, "a b"]),
    id(kinds.CHANNEL): (_NAMES, [*_NO_NAMES, "root", "targets", "snapshot", "timestamp"]),
    id(kinds.GROUP): ([*_NAMES, "root"], _NO_NAMES),
    id(kinds.VERSION): (
        ["20261201.1", "20240229.0", "20261231.99999", "00010101.1"],
        [
            "20261301.1",
            "20260231.1",
            "20260000.1",
            "20261231.01",
            "20261231.100000",
            "20261231",
            "1.2",
            "",
            "２0261201.1",
        ],
    ),
    id(kinds.SOURCE): (_WEB + _FOLDERS, _NO_WEB + _NO_FOLDERS),
    id(kinds.WEB): (_WEB, _NO_WEB + _FOLDERS),
    id(kinds.PROXY): (["http://p.example:3128", "http://u:p@p"], [*_NO_WEB, "https://p", "p:3128", *_FOLDERS]),
    id(kinds.UNPROXIED): (["*", "localhost", ".example.net", "10.0.0.1", "::1"], ["", "a b", "a,b", "*.a", "a" * 255]),
    id(kinds.BANDWIDTH): (["10k", "2M", "99999M"], ["9k", "0M", "2G", "5", "", "100000k", "02M", "2m", "-1M"]),
    id(kinds.TIME_OF_DAY): (["00:00", "23:59"], ["24:00", "2:30", "02:60", "02:30:00", "", "02.30", "２２:30"]),
    id(kinds.ZONE): (
        ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+12"],
        ["Europe/Berlinn", "europe/berlin", "Mars/A", "../UTC", "/UTC", "", "Europe", "posix/UTC", "localtime", "UTC "],
    ),
    id(kinds.LOCK_GROUP): (["default", "web.eu-1", "A"], ["", "a b", "a_b", "a" * 254, "ä"]),
    id(kinds.TEXT): (["#!/bin/sh\nexit 0\n"], ["exit 0\n"]),
}
_MUCH = st.text(st.sampled_from("0129:./-smhkM aZ_%é\n"), max_size=12)


def values(table: SettingsTable, *, skip: tuple[str, ...] = ()) -> st.SearchStrategy[dict[str, Any]]:
    """An object as somebody could write it for the table: mostly right, at times not."""
    settings = [setting for setting in table.settings if setting.name not in skip]
    must = {s.name: _value(s) for s in settings if s.required}
    may = {s.name: _value(s) for s in settings if not s.required}
    whole = st.fixed_dictionaries(must, optional=may)
    broken = st.fixed_dictionaries({}, optional={**must, **may, "unknown": st.just("x")})
    return st.one_of(whole, whole, whole, broken)


def _value(setting: Setting[Any]) -> st.SearchStrategy[Any]:
    one = values(setting.kind) if isinstance(setting.kind, SettingsTable) else _scalar(setting.kind)
    return st.lists(one, max_size=4) | st.lists(one, max_size=setting.many + 1) if setting.many else one


def _scalar(kind: ValueKind[Any] | WholeNumber) -> st.SearchStrategy[Any]:
    if isinstance(kind, WholeNumber):
        edges = [kind.least, kind.most, kind.least - 1, kind.most + 1]
        return st.sampled_from([number for number in edges if number >= 0]) | st.integers(0, 2 * kind.most)
    if kind.choices:
        return st.sampled_from([*kind.choices, *kind.choices, kind.choices[0].upper(), ""])
    right, wrong = POOLS.get(id(kind), (_LENGTHS, _NO_LENGTHS))
    # three right ones for one that is not: an object of many values is else never right
    return st.one_of(*[st.sampled_from(right)] * 6, st.sampled_from(wrong), _MUCH)


def checked(config: dict[str, Any], files: LocalFiles | None = None) -> dict[str, bytes] | None:
    """The files that a configuration becomes, by path; None when the check refuses it."""
    text = json.dumps({"variant": "orlop", "version": "1.0.0", **config}, ensure_ascii=False)
    found = translate(text.encode(), files)
    if found.ignition is None:
        assert found.report.errors
        return None
    made = json.loads(found.ignition).get("storage", {}).get("files", [])
    return {file["path"]: contents(file["contents"]) for file in made}


def contents(resource: dict[str, str]) -> bytes:
    with urllib.request.urlopen(resource["source"]) as data:  # a data URL: nothing is fetched
        raw: bytes = data.read()
    return gzip.decompress(raw) if resource.get("compression") else raw


def toml(settings: dict[str, Any]) -> bytes:
    """The same settings as somebody could write the machine's file by hand."""
    lines = ["format = 1"]
    lines += [f"{name} = {_literal(value)}" for name, value in settings.items() if not isinstance(value, dict)]
    for name, value in settings.items():
        if isinstance(value, dict):
            lines += [f"[{name}]", *(f"{key} = {_literal(item)}" for key, item in value.items())]
    return "\n".join([*lines, ""]).encode()


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
