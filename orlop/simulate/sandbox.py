"""The command line that runs `inside.sh` where it can do no harm.

bubblewrap gives it the SDK's programs read-only, an empty root in memory with the image's /usr read-only in it, no
devices and, unless it is to fetch, no network. As root it keeps the few capabilities that making users and files takes;
anybody else gets a user namespace in which their subordinate ids are the owners of those files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INSIDE = Path(__file__).with_name("inside.sh")
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "SYS_CHROOT")
_LINKS = ("bin", "sbin", "lib", "lib64")
_PRESETS = "/sysroot/usr/lib/systemd/system-preset"
_NAMES = ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf")


@dataclass(frozen=True)
class Sandbox:
    """`sdk`: the SDK tree; `usr`: the image's /usr; `work`: the folder of this run, seen as /work."""

    sdk: Path
    usr: Path
    work: Path
    network: bool = False

    def command(self, args: Sequence[str], *, as_root: bool) -> list[str]:
        """Run `inside.sh` with `args`; `as_root`: the caller is root."""
        argv: list[str | Path] = []
        if not as_root:
            argv += ["unshare", "--user", "--map-root-user", "--map-auto", "--"]
        argv += ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
        argv += [] if self.network else ["--unshare-net"]
        argv += ["--die-with-parent", "--new-session", "--ro-bind", self.sdk / "usr", "/usr"]
        for name in _LINKS:
            argv += ["--symlink", f"usr/{name}", f"/{name}"]
        argv += ["--ro-bind", self.sdk / "etc", "/etc"]
        for path in _NAMES if self.network else ():
            if Path(path).exists() and (self.sdk / path.lstrip("/")).is_file():
                argv += ["--ro-bind", os.path.realpath(path), path]
        argv += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/var"]
        argv += ["--bind", self.work, "/work", "--bind", self.work / "systemd", "/run/systemd"]
        argv += ["--ro-bind", INSIDE, "/run/inside.sh"]
        argv += ["--perms", "0755", "--tmpfs", "/sysroot", "--ro-bind", self.usr, "/sysroot/usr"]
        # what the image's own presets say was done when it was built; only the config's are left to be followed
        argv += ["--tmpfs", _PRESETS, "--remount-ro", _PRESETS, "--dir", "/sysroot/proc"]
        argv += ["--cap-drop", "ALL"]
        for name in CAPABILITIES:
            argv += ["--cap-add", f"CAP_{name}"]
        argv += ["--clearenv", "--setenv", "PATH", "/usr/sbin:/usr/bin", "--setenv", "LC_ALL", "C.UTF-8"]
        argv += ["--chdir", "/", "--", "sh", "/run/inside.sh", *args]
        return [os.fspath(a) for a in argv]
