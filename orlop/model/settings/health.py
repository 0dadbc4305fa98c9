"""`health`: what a good boot is. Its readers are shell: a file has lines NAME=SECONDS, and each check is a program."""

from __future__ import annotations

from orlop.model.settings import kinds
from orlop.model.settings.table import SettingsTable, groups, maybe, must, usual

MOST_CHECKS = 1000  # a bound for the list; a folder that is filled in another way has none

_READER = "os/mkosi.extra/usr/lib/orlop/health-user"
_CHECKS = "os/mkosi.extra/usr/lib/orlop/health"
_TRANSLATOR = "orlop/provision/sugar/settings.py"

CHECK_NAME = must("name", kinds.FILE_NAME, "file name; checks run in the order of their names", _CHECKS)
CHECK_CONTENTS = maybe("contents", kinds.TEXT, "text of the program: a script for `/bin/sh`", _CHECKS)
CHECK_LOCAL = maybe("contents_local", kinds.LOCAL, "file below the files directory that holds the program", _TRANSLATOR)
CHECK_TABLE = SettingsTable("health_check", (CHECK_NAME, CHECK_CONTENTS, CHECK_LOCAL), key="name")

TIMEOUT = usual("timeout", kinds.duration("1s", "10m"), "60s", "time each check has to answer", _READER)
SOAK = usual(
    "soak", kinds.duration("0s", "24h"), "0s", "how long everything must stay well before there is a verdict", _READER
)
WAIT = usual(
    "wait",
    kinds.duration("0s", "24h"),
    "15m",
    "how long a version on trial waits for what is wrong around the machine",
    _READER,
)
SECONDS = (TIMEOUT, SOAK, WAIT)  # of the file, each a line
CHECKS = groups(
    "checks", CHECK_TABLE, MOST_CHECKS, "programs that say whether a boot is good: it is when they return 0", _CHECKS
)

HEALTH = SettingsTable("health", (*SECONDS, CHECKS))
