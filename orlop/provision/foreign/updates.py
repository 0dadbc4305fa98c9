"""Zincati's, Flatcar's and locksmith's settings of updates and reboots, as those of this system.

Invariant: whatever is said anywhere, a machine never reboots at a time at which it would not have there. So what has no
exact meaning here makes the strategy `off`, with a warning; and when several speak, the most careful one counts.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orlop.errors import BadInput
from orlop.model.settings.table import SettingsTable
from orlop.model.settings.update import DAYS_OF_WEEK, UPDATE
from orlop.provision.foreign.table import UPDATE_CONF, UPDATERS, ZINCATI
from orlop.provision.foreign.texts import Configured, Text
from orlop.provision.report import Report
from orlop.provision.source import Place

UNSEEN = "its contents are elsewhere, so what it says of updates is not seen here, and reboots are left `off`"
_LENGTH = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")
_START = re.compile(r"(?:([A-Za-z]{3})[a-z]* +)?(\d{1,2}:\d{2})")
_ZONE = re.compile(r"(?:\.\./)*/?usr/share/zoneinfo/(.+)")


@dataclass
class AskedUpdates:
    """What was asked for. `off` has the places that asked for it, and comes first; `strategy` is "" when nobody asked
    for one. `window` and `lock` are as they are written in the file.
    """

    place: Place | None = None
    off: bool = False
    differ: bool = False
    strategy: str = ""
    window: Mapping[str, Any] = field(default_factory=dict)
    lock: Mapping[str, str] = field(default_factory=dict)

    def says(self, place: Place, strategy: str, **more: Mapping[str, Any]) -> None:
        """Take one more wish in: two that differ cannot both be had."""
        window, lock = more.get("window", {}), more.get("lock", {})
        if self.strategy not in ("", "off") and (self.strategy, self.window, self.lock) != (strategy, window, lock):
            self.off = self.differ = strategy != "off"
        self.off = self.off or strategy == "off"
        self.place, self.strategy, self.window, self.lock = self.place or place, strategy, window, lock

    def settings(self) -> dict[str, Any]:
        """What is to stand in the file of settings."""
        if self.off:
            return {"strategy": "off"}
        rest = {"window": dict(self.window)} if self.window else {}
        return {"strategy": self.strategy, **rest, **({"lock": dict(self.lock)} if self.lock else {})}


def wish(config: Configured, report: Report) -> AskedUpdates:
    """What the config asks for in the words of other systems; without a place when it asks for nothing."""
    asked = AskedUpdates()
    for name in UPDATERS.units:
        if (place := config.stopped.get(name)) is not None and name not in config.own:
            asked.says(place, "off")
    flatcar = [file for file in config.files if file.path in UPDATE_CONF.files]
    for file in flatcar:
        _flatcar(file, config, asked, report)
    _environment(config, asked, report)
    zincati = [f for f in config.files if re.fullmatch(r"/etc/zincati/config\.d/[^/]*\.toml", f.path)]
    _zincati(zincati, _zone(config), asked, report)
    _judge(asked, report)
    return asked


def _judge(asked: AskedUpdates, report: Report) -> None:
    """What the table of settings does not take is not written, and `off` is."""
    if asked.place is None:
        return
    if asked.differ:
        _doubt(asked, asked.place, "when to reboot for an update is said in two ways that differ", report)
    try:
        _check(UPDATE, asked.settings())
    except BadInput as e:
        _doubt(asked, asked.place, e.message, report)


def _check(table: SettingsTable, given: Mapping[str, Any]) -> None:
    for setting in table.settings:
        value = given.get(setting.name)
        if isinstance(setting.kind, SettingsTable):
            if isinstance(value, Mapping):
                _check(setting.kind, value)
        elif value is not None:
            for one in value if isinstance(value, list) else [value]:
                setting.one(one, setting.name)


def _doubt(asked: AskedUpdates, place: Place, what: str, report: Report, write: str = UPDATE_CONF.write) -> None:
    asked.says(place, "off")
    report.warn(place, f"{what}: reboots for updates are left `off`", write)


# Flatcar


def _flatcar(file: Text, config: Configured, asked: AskedUpdates, report: Report) -> None:
    if file.text is None:
        asked.says(file.place, "off")
        report.warn(file.place, f"{file.path}: {UNSEEN}", UPDATE_CONF.write)
        return
    given = _assignments(file.text)
    if (group := given.get("GROUP", "stable")) != "stable":
        report.warn(
            file.place,
            f"{file.path}: GROUP={group} is a channel of Flatcar's server, which has no releases for this system",
            "name where releases come from: `update: {urls: […], channel: …}` of the variant orlop",
        )
    server = given.get("SERVER", "")
    if server == "disabled":
        asked.says(file.place, "off")
    elif server:
        report.warn(
            file.place,
            f"{file.path}: SERVER={server} speaks Omaha, which this system does not",
            "name where releases come from: `update: {urls: […]}` of the variant orlop",
        )
    _locksmith(given, file.place, config, asked, report)


def _environment(config: Configured, asked: AskedUpdates, report: Report) -> None:
    """locksmith takes the same words from the environment of its unit."""
    for unit in config.texts:
        if unit.name == "locksmithd.service":
            given: dict[str, str] = {}
            for value in unit.values("Environment"):
                given |= _assignments("\n".join(_split(value)))
            _locksmith(given, unit.place, config, asked, report)


def _locksmith(given: Mapping[str, str], place: Place, config: Configured, asked: AskedUpdates, report: Report) -> None:
    strategy = given.get("REBOOT_STRATEGY", given.get("LOCKSMITHD_REBOOT_STRATEGY", ""))
    start = given.get("LOCKSMITHD_REBOOT_WINDOW_START", given.get("REBOOT_WINDOW_START", ""))
    length = given.get("LOCKSMITHD_REBOOT_WINDOW_LENGTH", given.get("REBOOT_WINDOW_LENGTH", ""))
    if strategy == "off":
        asked.says(place, "off")
    elif strategy in ("etcd-lock", "best-effort"):
        write = "write `update: {lock: {url: …, group: …}}` with a FleetLock server, in the variant orlop"
        _doubt(
            asked,
            place,
            f"REBOOT_STRATEGY={strategy} asks for a lock in etcd, which this system has not",
            report,
            write,
        )
    elif strategy not in ("reboot", ""):
        _doubt(asked, place, f"REBOOT_STRATEGY={strategy} is not known", report)
    elif start or length:
        window = _window(start, length, config)
        if window is None:
            _doubt(asked, place, f"the reboot window {start!r}, {length!r} cannot be read", report)
        else:
            asked.says(place, "window", window=window)
    elif strategy == "reboot":
        asked.says(place, "immediate")


def _window(start: str, length: str, config: Configured) -> dict[str, Any] | None:
    """locksmith's window: `Thu 23:00` or `23:00`, and a length such as `1h30m`; in the machine's time zone."""
    begins, lasts = _START.fullmatch(start), _LENGTH.fullmatch(length)
    if begins is None or lasts is None or not length:
        return None
    hours, minutes, seconds = (int(part or 0) for part in lasts.groups())
    day = (begins[1] or "").lower()
    total = hours * 60 + minutes + seconds // 60  # not longer than it was
    if (day and day not in DAYS_OF_WEEK) or not total:
        return None
    zone = _zone(config)
    days = {"days": [day]} if day else {}
    return {**days, "start": begins[2].rjust(5, "0"), "minutes": total, **({"timezone": zone} if zone else {})}


def _zone(config: Configured) -> str:
    """The time zone that the config gives the machine; "" for UTC."""
    for link in config.root.obj("storage").objs("links"):
        if link.text("path") == "/etc/localtime" and (found := _ZONE.fullmatch(link.text("target") or "")):
            return found[1]
    return ""


def _assignments(text: str) -> dict[str, str]:
    """NAME=VALUE, one a line, as a shell would read them."""
    out: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            out[name.removeprefix("export ").strip()] = " ".join(_split(value))
    return out


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value, comments=True)
    except ValueError:
        return [value]


# Zincati


def _zincati(files: list[Text], local: str, asked: AskedUpdates, report: Report) -> None:
    """Its files are read in the order of their names, and the last word counts."""
    merged: dict[str, Any] = {}
    place: Place | None = None
    for file in sorted(files, key=lambda f: f.path):
        place = file.place
        try:
            found = None if file.text is None else tomllib.loads(file.text)
        except tomllib.TOMLDecodeError as e:
            _doubt(asked, place, f"{file.path} is not valid TOML ({e})", report, ZINCATI.write)
            return
        if found is None:
            asked.says(place, "off")
            report.warn(place, f"{file.path}: {UNSEEN}", ZINCATI.write)
            return
        for name, section in found.items():
            merged[name] = {**_table(merged.get(name)), **section} if isinstance(section, dict) else section
    if place is not None:
        _zincati_says(merged, place, local, asked, report)


def _zincati_says(given: Mapping[str, Any], place: Place, local: str, asked: AskedUpdates, report: Report) -> None:
    updates, identity = _table(given.get("updates")), _table(given.get("identity"))
    if "cincinnati" in given:
        hint = "name where releases come from: `update: {urls: […]}` of the variant orlop"
        report.warn(place, "Zincati's `cincinnati` names a server that this system does not speak to", hint)
    if "rollout_wariness" in identity:
        hint = "choose `update: {group: …}`: a publisher's rollout goes by groups"
        report.warn(place, "Zincati's `rollout_wariness` has no meaning here", hint)
    strategy = updates.get("strategy")
    if updates.get("enabled") is False:
        asked.says(place, "off")
    elif strategy == "immediate":
        asked.says(place, "immediate")
    elif strategy == "periodic":
        _periodic(_table(updates.get("periodic")), place, local, asked, report)
    elif strategy == "fleet_lock":
        url = _table(updates.get("fleet_lock")).get("base_url")
        if not isinstance(url, str) or not url:
            _doubt(asked, place, "Zincati's `fleet_lock` has no base_url", report, ZINCATI.write)
            return
        asked.says(place, "immediate", lock={"url": url, "group": str(identity.get("group") or "default")})
    elif strategy is not None:
        _doubt(asked, place, f"Zincati's strategy {strategy!r} is not known", report, ZINCATI.write)


def _periodic(given: Mapping[str, Any], place: Place, local: str, asked: AskedUpdates, report: Report) -> None:
    found = given.get("window")
    windows = [w for w in found if isinstance(w, dict)] if isinstance(found, list) else []
    zone = given.get("time_zone", "UTC")
    try:
        spans = [(w["start_time"], w["length_minutes"], [day.lower()[:3] for day in w["days"]]) for w in windows]
    except (KeyError, TypeError, AttributeError):
        spans = []
    if not spans:
        _doubt(asked, place, "Zincati's `periodic` has no window that can be read", report, ZINCATI.write)
        return
    start, minutes, _ = spans[0]
    same = [days for s, m, days in spans if (s, m) == (start, minutes)]
    if len(same) < len(spans):
        hint = "a machine has one window: give the others the same start and length"
        report.warn(place, f"Zincati's windows differ: only those at {start} for {minutes} minutes are taken", hint)
    days = [day for day in DAYS_OF_WEEK if any(day in part for part in same)]
    if not days:
        _doubt(asked, place, "Zincati's `periodic` names no day of the week", report, ZINCATI.write)
        return
    zone = local if zone == "localtime" else zone
    more = {} if zone in ("", "UTC") else {"timezone": zone}
    asked.says(place, "window", window={"days": days, "start": start, "minutes": minutes, **more})


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
