"""`orlop reboot`: reboot this machine, under the reboot lock of its cluster.

The agent gives the lock back when the next boot is good, or when no reboot came. A machine in no cluster just reboots.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

from orlop.cluster.lock import ClusterLock, LockRefused, LockTaker, is_in_cluster
from orlop.errors import BadInput
from orlop.net.errors import Unreachable

AGAIN_SECONDS = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=int, default=0, metavar="SECONDS", help="for the lock; without it one try is made"
    )
    parser.add_argument("--lock-only", action="store_true", help="only take the lock: you reboot within ten minutes")
    parser.add_argument("--no-lock", action="store_true", help="ask nobody")


def run(args: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise BadInput("a reboot needs root")
    if args.lock_only and args.no_lock:
        raise BadInput("--lock-only and --no-lock together leave nothing to do")
    if is_in_cluster() and not args.no_lock:
        take(ClusterLock(LockTaker.HAND), args.wait)
        print("this machine holds the reboot lock of its cluster")
    if args.lock_only:
        return 0
    print("rebooting", flush=True)
    return subprocess.run(["systemctl", "reboot"], check=False).returncode


def take(lock: ClusterLock, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Until it is granted, at most for so long; what it waits for is said when it changes.

    Raises LockRefused, Unreachable.
    """
    until, said = time.monotonic() + seconds, ""
    while True:
        try:
            return lock.take()
        except (LockRefused, Unreachable) as e:
            if time.monotonic() >= until:
                raise
            if e.message != said:
                print(f"waiting: {e.message}", file=sys.stderr, flush=True)
                said = e.message
        sleep(AGAIN_SECONDS)
