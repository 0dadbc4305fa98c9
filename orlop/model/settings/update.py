"""`update`: which releases a machine follows, and when it reboots into them."""

from __future__ import annotations

from orlop.model.settings import kinds
from orlop.model.settings.table import SettingsTable, group, maybe, must, number, some, usual

FORMAT = 1  # of the file: it is its first line

_CATALOG = "orlop/node/update/catalog/catalog.py"
_POLICY = "orlop/model/release/policy.py"
_ROUTE = "orlop/net/route.py"
_REBOOT = "orlop/model/update/reboot.py"
_LOCK = "orlop/node/update/fleetlock.py"

DAYS_OF_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEK_MINUTES = 7 * 24 * 60

DAYS = some("days", kinds.one_of(*DAYS_OF_WEEK), 7, "days on which it opens; every day if not given", _REBOOT)
START = must("start", kinds.TIME_OF_DAY, "when it opens", _REBOOT)
MINUTES = number("minutes", kinds.WholeNumber(1, WEEK_MINUTES, "minutes"), "how long it stays open", _REBOOT)
ZONE = usual("timezone", kinds.ZONE, "UTC", "time zone of `start`", _REBOOT)
WINDOW_TABLE = SettingsTable("update_window", (DAYS, START, MINUTES, ZONE))

LOCK_URL = must("url", kinds.WEB, "FleetLock server", _LOCK)
LOCK_GROUP = usual("group", kinds.LOCK_GROUP, "default", "group whose slots are counted", _LOCK)
LOCK_TABLE = SettingsTable("update_lock", (LOCK_URL, LOCK_GROUP))

CHANNEL = usual(
    "channel", kinds.CHANNEL, "stable", "channel to follow: `alpha`, `beta`, `stable` or one of your own", _CATALOG
)
URLS = some(
    "urls",
    kinds.SOURCE,
    16,
    "where releases come from, the best first; without any the machine asks nobody and does not update by itself",
    _CATALOG,
)
GROUP = usual("group", kinds.GROUP, "default", "group that a rollout knows this machine by", _POLICY)
PIN = maybe("pin", kinds.VERSION, "stay at this version", _POLICY)
PROXY = maybe("proxy", kinds.PROXY, "proxy that releases are fetched through", _ROUTE)
NO_PROXY = some("no_proxy", kinds.UNPROXIED, 64, "what is reached without the proxy", _ROUTE)
BANDWIDTH = maybe(
    "bandwidth",
    kinds.BANDWIDTH,
    "the most that fetching takes; no limit if not given",
    "orlop/node/update/blobs/fetch.py",
)
CHECK_EVERY = usual(
    "check_every",
    kinds.duration("10s", "4h"),
    "5m",
    "time between two questions for a release",
    "orlop/node/update/engine.py",
)
STRATEGY = usual(
    "strategy",
    kinds.one_of("immediate", "window", "off"),
    "immediate",
    "when to reboot into a new version: at once, in a window, or when told",
    _REBOOT,
    needs=("window", "window"),
)
WINDOW = group("window", WINDOW_TABLE, "when reboots are allowed; needed by the strategy `window`", _REBOOT)
LOCK = group("lock", LOCK_TABLE, "lock to hold while rebooting, so that not all machines of a group do at once", _LOCK)

UPDATE = SettingsTable(
    "update",
    (CHANNEL, URLS, GROUP, PIN, PROXY, NO_PROXY, BANDWIDTH, CHECK_EVERY, STRATEGY, WINDOW, LOCK),
)
