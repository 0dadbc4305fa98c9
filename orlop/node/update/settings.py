"""What the machine's configuration says about updates: /etc/orlop/update.toml, checked whole.

The file is written at each boot by the short form `update` of the configuration, or by hand as any other file of /etc.
What it may hold, and the defaults where it is silent, are in the table of settings (orlop.model.settings.update); one
that is missing means all of the defaults. Lifetime of what is read: a boot, because /etc is sealed.

Invariant: a file with anything unknown or out of its bounds gives no settings at all, and a machine that therefore does
not update says why.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from orlop.errors import BadInput
from orlop.model.settings import update as table
from orlop.model.settings.document import UPDATE_PLACE
from orlop.model.settings.read import read
from orlop.model.settings.table import SettingValues
from orlop.model.settings.update import FORMAT
from orlop.model.update.decide import Settings
from orlop.model.update.polling import SPREAD
from orlop.model.update.reboot import Immediate, Off, Strategy, Window
from orlop.model.words.strict import Fields
from orlop.model.words.version import Version
from orlop.node.update.fleetlock import FleetLock

PLACE = UPDATE_PLACE.lstrip("/")
LARGEST = 1 << 18  # bytes: more than the table lets anybody write
_HINT = "mend `update` in the machine's configuration; docs/reference/config-orlop.md says what it may hold"


@dataclass(frozen=True)
class UpdateSettings:
    """`urls` is where releases come from, the best first, none when it asks nobody; `lock` is (URL, group).

    `pin` is the newest version this machine may go to by itself; `bandwidth` is in bytes a second, None without limit;
    `proxy` is a URL, empty when there is none.
    """

    channel: str = table.CHANNEL.default
    group: str = table.GROUP.default
    urls: tuple[str, ...] = ()
    pin: Version | None = None
    engine: Settings = field(default_factory=lambda: Settings(first_within=SPREAD))
    lock: tuple[str, str] | None = None
    bandwidth: int | None = None
    proxy: str = ""
    no_proxy: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """What those who fetch read: the proxy variables; none when no proxy is set."""
        if not self.proxy:
            return {}
        return {"http_proxy": self.proxy, "https_proxy": self.proxy, "no_proxy": ",".join(self.no_proxy)}

    def reboot_lock(self, machine: str) -> FleetLock | None:
        """The lock to hold while rebooting, for the machine of this id; None when there is none."""
        return FleetLock(self.lock[0], machine, self.lock[1]) if self.lock else None


def load(path: Path) -> UpdateSettings:
    """The settings of this machine. Raises BadInput, naming file and key."""
    try:
        with path.open("rb") as f:
            raw = f.read(LARGEST + 1)
    except FileNotFoundError:
        return UpdateSettings()
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror}", hint=_HINT) from None
    try:
        return parse(raw)
    except BadInput as e:
        raise BadInput(f"{path}: {e.message}", hint=e.hint or _HINT) from None


def parse(raw: bytes) -> UpdateSettings:
    """Raises BadInput, naming the key."""
    if len(raw) > LARGEST:
        raise BadInput(f"it has more than {LARGEST} bytes")
    try:
        values = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as e:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise BadInput(f"it is not TOML: {e}") from None
    if (written := Fields.of("", values).value("format", int)) != FORMAT:
        raise BadInput(f"format is {written}, and this version of Orlop reads format {FORMAT}")
    given = read(table.UPDATE, Fields("", {name: value for name, value in values.items() if name != "format"}))
    every = timedelta(seconds=given[table.CHECK_EVERY])
    lock = given[table.LOCK]
    return UpdateSettings(
        channel=given[table.CHANNEL],
        group=given[table.GROUP],
        urls=given[table.URLS],
        pin=given[table.PIN],
        engine=Settings(strategy=_strategy(given), check_every=every, first_within=min(SPREAD, every)),
        lock=(lock[table.LOCK_URL], lock[table.LOCK_GROUP]) if lock else None,
        bandwidth=given[table.BANDWIDTH],
        proxy=given[table.PROXY] or "",
        no_proxy=given[table.NO_PROXY],
    )


def _strategy(given: SettingValues) -> Strategy:
    window = given[table.WINDOW]
    match given[table.STRATEGY]:
        case "off":
            return Off()
        case "window" if window is not None:
            return Window.of(
                days=window[table.DAYS],
                start=window[table.START],
                minutes=window[table.MINUTES],
                zone=window[table.ZONE],
            )
        case _:
            return Immediate()
