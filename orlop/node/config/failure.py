"""What went wrong in a stage: one sentence, what kind of trouble it is, and what to do. Pure.

The text is what Ignition logs (`LEVEL : message`); its last CRITICAL line is the reason, the ones before it say where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orlop.model.disk.names import ADVICE
from orlop.model.selinux import policy

_LINE = re.compile(r"^(CRITICAL|ERROR|WARNING) *: (.*)$", re.MULTILINE)
_FOUND = re.compile(r"error at ")  # $.path, line and column
_GAVE_UP = "Ignition failed: "
_OPERATION = "[failed]"  # the log of a step, which says again what the error says
_CUT = re.compile(r"unexpected end of JSON input|invalid character")
_WRONG = re.compile(r"config is not valid|unsupported config version|incompatible config")

_HINTS = {
    "fetch": "mend the configuration or its source: `orlop config check` and `ignition-validate` name what is wrong",
    "kargs": "the arguments must be possible on this machine: see kernel_arguments in the configuration",
    "hardware": "attach what is missing, or give a file system that may be missing the mount option nofail",
    "disks": "the disks are not as the configuration expects; nothing that exists is overwritten unless it says wipe",
    "mount": "a file system of the configuration cannot be mounted: its device, format and path must agree",
    "files": "a path, user or group cannot be made: paths below /usr are read-only, a file that the image has needs "
    "`overwrite: true`, a user's groups must exist",
    "units": "a unit of the configuration cannot be enabled: its [Install] section says what wants it",
}
# for troubles that a simulation (orlop.simulate.trouble) meets as well
NO_HOME = (
    "that folder is to be the home of a user whom the image has already, and Ignition makes none for such a user: "
    "leave `home_dir` out, or give the user a name of its own"
)
NO_GROUP = "add the group under passwd.groups, or use one of the image's"
WRONG_LINE = "mend the line in the configuration: tmpfiles.d(5) and sysusers.d(5) have the form"
TAKEN = (r"UID .* is not unique|GID .* already exists", "choose another number, or leave it out")
# what is known better than by the stage alone
_BY_REASON = (
    (
        r"this is a container machine",
        "leave storage.disks, raid, luks and filesystems out for it, or take a whole machine: `--kind vm`",
    ),
    (
        r"unsupported config version",
        "`orlop config build CONFIG.ign` writes it as version 3.3.0, or says what in it cannot be done; Ignition here "
        "reads 3.0.0 to 3.3.0",
    ),
    (r"asks for clevis", "give the volume a `key_file`, or nothing: then the machine makes a key of its own"),
    (
        r"which this machine runs from|it is the system's own|nothing can be mounted at",
        "name the disk that you mean by its serial number, /dev/disk/by-id/…: names like /dev/sda change; " + ADVICE,
    ),
    (r"failed to create users/groups: lstat ", NO_HOME),
    (r"useradd: group '.*' does not exist", NO_GROUP),
    (r"/(tmpfiles|sysusers)\.d/", WRONG_LINE),
    (policy.FOLDER, "leave it out: which policy a machine has, its image says"),
    TAKEN,
)


@dataclass(frozen=True)
class Failure:
    """`reachable`: the source answered, with a configuration that is whole and wrong."""

    stage: str
    reason: str
    reachable: bool = False

    @property
    def hint(self) -> str:
        for reason, hint in _BY_REASON:
            if re.search(reason, self.reason):
                return hint
        return _HINTS.get("fetch" if self.stage.startswith("fetch") else self.stage, "see the lines above")


class StageFailed(Exception):
    """A stage did not do what the configuration says."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"stage {failure.stage} failed: {failure.reason}")
        self.failure = failure


def read(stage: str, log: str) -> Failure:
    """What Ignition's log of a failed stage says: what it found wrong in the configuration, else why it gave up."""
    lines = [(level, text.strip()) for level, text in _LINE.findall(log) if text.strip()]
    errors_at = [text for _, text in lines if _FOUND.match(text)]
    errors = [text for level, text in lines if level == "ERROR" and _OPERATION not in text]
    gave_up = [text.removeprefix(_GAVE_UP) for _, text in lines if text.startswith(_GAVE_UP)]
    last = [text for _, text in lines[-1:]]
    reason = "; ".join(dict.fromkeys(errors_at[:3] or [*errors[-1:], *(gave_up or last)]))
    reason = reason or (log.strip().splitlines() or ["it said nothing"])[-1].strip()
    whole = bool(_WRONG.search(log)) and not _CUT.search(log)
    return Failure(stage, reason[:2000], reachable=whole)
