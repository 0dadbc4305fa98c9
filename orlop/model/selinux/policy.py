"""Where a machine finds the policy that it enforces, which no configuration changes. Pure."""

from __future__ import annotations

import posixpath

FOLDER = "/etc/selinux"
WHY = "leads to the SELinux policy of the image"


def is_policy(path: str) -> bool:
    """Whether a path is in the folder of the policy, or is it."""
    plain = "/" + posixpath.normpath(path).lstrip("/")
    return plain == FOLDER or plain.startswith(FOLDER + "/")
