"""What the machine's configuration says about updates: /etc/orlop/update.toml, checked whole.

The file is written at each boot by the short form `update` of the configuration (docs/reference/config-orlop.md), or by
hand as any other file of /etc. One that is missing means the defaults of that page. Lifetime of what is read: a boot,
because /etc is sealed.

Invariant: a file with anything unknown or out of its bounds gives no settings at all. Half of what somebody wished for
is not what they wished for, and a machine that does not update says why.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from orlop.errors import BadInput
from orlop.model.address import place_problem, web_problem
from orlop.model.channel import NAME
from orlop.model.decide import Settings
from orlop.model.polling import SPREAD
from orlop.model.reboot import Immediate, Off, Strategy, Window
from orlop.model.strict import Fields
from orlop.model.version import Version
from orlop.node.update.fleetlock import FleetLock
from orlop.trust.route import public

PLACE = "etc/orlop/update.toml"
FORMAT = 1
LARGEST = 1 << 16  # bytes
_KEYS = (
    *("format", "channel", "group", "urls", "pin", "proxy", "no_proxy", "bandwidth", "check_every"),
    *("strategy", "window", "lock"),
)
STRATEGIES = ("immediate", "window", "off")
LEAST, MOST = timedelta(seconds=10), timedelta(hours=4)  # between two checks
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
_LENGTH = re.compile(r"(0|[1-9][0-9]{0,5})([smh])", re.ASCII)
_BANDWIDTH = re.compile(r"([1-9][0-9]{0,4})([kM])", re.ASCII)
_LEAST_BANDWIDTH = 10_000  # bytes a second: with less, a release takes longer than the time to the next
_HINT = "mend `update` in the machine's configuration; docs/reference/config-orlop.md says what it may hold"


@dataclass(frozen=True)
class UpdateSettings:
    """`urls` is where releases come from, the best first, empty for the image's own; `lock` is (URL, group).

    `pin` is the newest version this machine may go to by itself; `bandwidth` is in bytes a second, None without limit;
    `proxy` is a URL, empty when there is none.
    """

    channel: str = "stable"
    group: str = "default"
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
        raise BadInput(f"it is no TOML: {e}") from None
    top = Fields.of("", values)
    if (found := top.value("format", int)) != FORMAT:
        raise BadInput(f"format is {found}, and this version of Orlop reads format {FORMAT}")
    top.only(*_KEYS)
    window = _window(top.fields("window")) if top.has("window") else None
    every = _every(top.value("check_every", str, "5m"))
    strategy = _strategy(top.value("strategy", str, "immediate"), window)
    return UpdateSettings(
        channel=_word(top, "channel", "stable"),
        group=_word(top, "group", "default"),
        urls=tuple(_url(url) for url in top.texts("urls")),
        pin=top.version("pin") if top.has("pin") else None,
        engine=Settings(strategy=strategy, check_every=every, first_within=min(SPREAD, every)),
        lock=_lock(top.fields("lock")) if top.has("lock") else None,
        bandwidth=_bandwidth(top.value("bandwidth", str)) if top.has("bandwidth") else None,
        proxy=_proxy(top.value("proxy", str)) if top.has("proxy") else "",
        no_proxy=tuple(_host(host) for host in top.texts("no_proxy")),
    )


def _word(top: Fields, key: str, default: str) -> str:
    value = top.value(key, str, default)
    if not NAME.fullmatch(value):
        raise BadInput(
            f"{key}: {value!r} is no name", hint="a small letter, then at most 30 small letters, digits and -"
        )
    return value


def _bandwidth(text: str) -> int:
    found = _BANDWIDTH.fullmatch(text)
    rate = int(found[1]) * {"k": 1_000, "M": 1_000_000}[found[2]] if found else 0
    if rate < _LEAST_BANDWIDTH:
        raise BadInput(f"bandwidth: {text!r} cannot be", hint="bytes a second, 10k to 99999M")
    return rate


def _proxy(url: str) -> str:
    why = web_problem(url) if url.startswith("http://") else "it must begin with http://"
    if why:
        raise BadInput(f"proxy: {public(url)!r} is none: {why}", hint="use http://HOST:PORT")
    return url


def _host(text: str) -> str:
    if not text or "," in text or not text.isprintable() or " " in text:
        raise BadInput(f"no_proxy: {text!r} is no host", hint="a name, an address, or .domain")
    return text


def _every(text: str) -> timedelta:
    found = _LENGTH.fullmatch(text)
    if not found:
        raise BadInput(f"check_every: {text!r} is no length of time", hint="a number and s, m or h, as in 90s")
    every = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if not LEAST <= every <= MOST:
        raise BadInput(f"check_every: {text} cannot be", hint="10s to 4h")
    return every


def _strategy(name: str, window: Window | None) -> Strategy:
    if name not in STRATEGIES:
        raise BadInput(f"strategy: {name!r} is none", hint=f"use {', '.join(STRATEGIES)}")
    if name != "window":
        return Off() if name == "off" else Immediate()
    if window is None:
        raise BadInput("the strategy `window` needs a window", hint="add `window` with start and minutes")
    return window


def _window(table: Fields) -> Window:
    table.only("days", "start", "minutes", "timezone")
    return Window.parse(
        days=table.texts("days"),
        start=table.value("start", str),
        minutes=table.value("minutes", int),
        zone=table.value("timezone", str, "UTC"),
    )


def _lock(table: Fields) -> tuple[str, str]:
    table.only("url", "group")
    lock = FleetLock(table.value("url", str), "", table.value("group", str, "default"))  # raises for what is none
    return lock.url, lock.group


def _url(url: str) -> str:
    why = place_problem(url) if url.startswith("file:///") else web_problem(url)
    if why:
        hint = "use http://…, https://… or file:///folder"
        raise BadInput(f"urls: {public(url)!r} is nowhere to fetch from: {why}", hint=hint)
    return url
