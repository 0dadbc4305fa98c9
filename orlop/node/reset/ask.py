"""`orlop node reset`: ask for a factory reset, which the next boot does, and reboot.

Two kinds. By default the request is a file on /var that the initrd fulfils file by file, so that paths can be kept.
A machine of a cluster takes the cluster's reboot lock before.
With --erase it is systemd's own EFI variable: systemd-repart in the initrd makes the partition of /var anew, also when
it cannot be mounted. Both outlive a power cut, before and during the reset.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from orlop.cluster.lock import ClusterLock, LockTaker, is_in_cluster
from orlop.errors import BadInput, Missing, OrlopError
from orlop.files import release, write_atomic
from orlop.model.reset.request import REQUEST, ResetRequest
from orlop.node.reset.wipe import refuse_links

EFIVARS = Path("/sys/firmware/efi/efivars")
# read by systemd-repart, and removed by it when it has removed the partition
FACTORY_RESET = "FactoryReset-8cf2644b-4b0b-428f-9387-6d876050dc67"
_ATTRIBUTES = (0x1 | 0x2 | 0x4).to_bytes(4, "little")  # kept without power; for the boot loader and the running system
WORD = "reset"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep", action="append", default=[], metavar="PATH", help="a path below /var; may be repeated"
    )
    parser.add_argument("--erase", action="store_true", help="make the partition of /var anew; nothing can be kept")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--no-reboot", action="store_true", help="only ask for it; the next boot does it")


def run(args: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise BadInput("a factory reset needs root")
    if args.erase and args.keep:
        raise BadInput("with --erase nothing can be kept", hint="leave out --erase, or --keep")
    request = ResetRequest.of(args.keep)
    must_exist(Path("/"), request)
    refuse_links(Path("/"), request)
    if not args.yes:
        confirm(request)
    if not args.no_reboot and is_in_cluster():
        ClusterLock(LockTaker.HAND).take()  # before anything is asked for, so that a refusal leaves nothing behind
    if args.erase:
        ask_firmware(EFIVARS)
    else:
        write_atomic(Path(REQUEST), request.text(), mode=0o600)
    if args.no_reboot:
        sys.stdout.write("the next boot resets this machine\n")
        return 0
    sys.stdout.write("rebooting; the boot resets this machine\n")
    sys.stdout.flush()
    return subprocess.run(["systemctl", "reboot"], check=False).returncode


def must_exist(root: Path, request: ResetRequest) -> None:
    missing = [path for path in request.keep if not os.path.lexists(root / path.lstrip("/"))]
    if missing:
        raise Missing(f"there is no {', '.join(missing)} to keep", hint="look at the path again, or leave it out")


def confirm(request: ResetRequest) -> None:
    """Raises OrlopError unless a person agrees."""
    if not sys.stdin.isatty():
        raise BadInput("a factory reset removes data, and nobody is here to agree to it", hint="give --yes")
    paths = ", ".join(request.keep) or "nothing"
    sys.stdout.write(f"This removes everything in /var; kept is: {paths}.\nType {WORD!r} to go on: ")
    sys.stdout.flush()
    if sys.stdin.readline().strip() != WORD:
        raise OrlopError("not confirmed; nothing was changed")


def ask_firmware(efivars: Path) -> None:
    """Set systemd's EFI variable for a factory reset. Raises Missing when there is no place for it."""
    hint = "choose the entry '(factory reset)' in the boot menu: hold the space bar while the machine starts"
    if not efivars.is_dir() or not any(efivars.iterdir()):
        raise Missing(f"{efivars} is not there: this machine's firmware keeps no variables", hint=hint)
    variable = efivars / FACTORY_RESET
    try:
        if variable.exists():
            release(variable)
        with variable.open("wb", buffering=0) as f:
            f.write(_ATTRIBUTES + b"y\0e\0s\0\0\0")  # UTF-16; in one write, because a variable is set as a whole
    except OSError as e:
        raise OrlopError(f"the firmware did not take the request: {e.strerror}", hint=hint) from None
