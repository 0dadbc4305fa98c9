#!/usr/bin/env python3
"""Run the machine tests in two shares at the same time, for `make vm`.

A machine that boots or waits uses little more than one core, and most of these tests wait for one; so two sessions side
by side take not much more than half the time of one after the other. They share one image, which is built first. The
first share is shown while it runs, the second when both are over. The exit status is 0 when both are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ.get("ORLOP_STATE", ".orlop"))
BIN = STATE / "venv/bin"
ARGUMENTS = ["-m", "not long", "tests/vm"]


def main(more: list[str]) -> int:
    built = subprocess.run([BIN / "orlop", "image", "build"], stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        return built.returncode
    environment = os.environ | {"ORLOP_TEST_IMAGE": os.environ.get("ORLOP_TEST_IMAGE") or built.stdout.strip()}
    log = STATE / "logs/machine-tests-2.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        shares = [
            subprocess.Popen([BIN / "pytest", "--share", f"{n}/2", *ARGUMENTS, *more], env=environment, stdout=to)
            for n, to in ((1, None), (2, out))
        ]
        try:
            codes = [share.wait() for share in shares]
        finally:
            for share in shares:
                if share.poll() is None:
                    share.terminate()
                    share.wait()
    sys.stdout.write(log.read_text(errors="replace"))
    return max(abs(code) for code in codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
