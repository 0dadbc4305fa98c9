"""The settings of the operating system, all of them, and the files in which its programs find them."""

from __future__ import annotations

from dataclasses import dataclass

from orlop.model.cluster.names import (
    CA_KEY_PLACE,
    CA_PLACE,
    SETTINGS_PLACE,
    STORAGE_KEY_PLACE,
    STORE_CA_KEY_PLACE,
    STORE_CA_PLACE,
    TOKEN_PLACE,
)
from orlop.model.settings import kinds
from orlop.model.settings.cluster import CLUSTER
from orlop.model.settings.health import HEALTH
from orlop.model.settings.table import SettingsTable, group, maybe
from orlop.model.settings.update import UPDATE

ROOT_PLACE = "/etc/orlop/root.json"
UPDATE_PLACE = "/etc/orlop/update.toml"
HEALTH_PLACE = "/etc/orlop/health.conf"
CHECKS_PLACE = "/etc/orlop/health.d"
HOST_NAME_PLACE = "/etc/hostname"

_KEYS = "orlop/node/update/keys.py"

ROOT = maybe(
    "root", kinds.TEXT, "root keys of the release repository that is believed instead of the image's: its `root.json`",
    _KEYS,
)  # fmt: skip
ROOT_LOCAL = maybe(
    "root_local", kinds.LOCAL, "file below the files directory that holds them", "orlop/provision/sugar/settings.py"
)
TRUST = SettingsTable("trust", (ROOT, ROOT_LOCAL))

HOST_NAME = maybe("hostname", kinds.HOST_NAME, "name of the machine", "systemd")
SETTINGS = SettingsTable(
    "settings",
    (
        HOST_NAME,
        group("update", UPDATE, "updates of the operating system", "orlop/node/update/settings.py"),
        group("health", HEALTH, "what a good boot is", "os/mkosi.extra/usr/lib/orlop/health"),
        group("trust", TRUST, "whose releases are believed", _KEYS),
        group("cluster", CLUSTER, "which cluster the machine belongs to, and as what", "orlop/cluster/settings.py"),
    ),
)


@dataclass(frozen=True)
class SettingsFile:
    """`settings`: what is written there, as a path of names; `place`: the file, or with capitals a pattern of names."""

    settings: str
    place: str
    mode: int = 0o644


FILES = (
    SettingsFile("hostname", HOST_NAME_PLACE),
    SettingsFile("update", UPDATE_PLACE),
    SettingsFile("health", HEALTH_PLACE),
    SettingsFile("health.checks[]", f"{CHECKS_PLACE}/NAME", 0o755),
    SettingsFile("trust", ROOT_PLACE),
    SettingsFile("cluster", SETTINGS_PLACE),
    SettingsFile("cluster.ca", CA_PLACE),
    SettingsFile("cluster.ca_key", CA_KEY_PLACE, 0o600),
    SettingsFile("cluster.store_ca", STORE_CA_PLACE),
    SettingsFile("cluster.store_ca_key", STORE_CA_KEY_PLACE, 0o600),
    SettingsFile("cluster.token", TOKEN_PLACE, 0o600),
    SettingsFile("cluster.storage_key", STORAGE_KEY_PLACE, 0o600),
)

# what was a setting once, and what to do instead: nobody reads it, so nobody may think so
UNREAD = {
    "trust.keys": "a bare key does not say what it may sign: give the root.json of the repository, "
    "`trust: {root_local: root.json}`",
}
