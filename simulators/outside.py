"""Judges of ours that others wrote: what an outside program says of a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def spdx_trouble(path: Path) -> str:
    """What spdx-tools, the SPDX project's own validator, finds wrong in a document; "" when it finds nothing.

    As a program and not as a library: its dependencies warn, and our tests take warnings for errors.
    """
    program = Path(sys.executable).with_name("pyspdxtools")
    argv: list[str | Path] = [program, "--infile", path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    return (done.stdout + done.stderr) if done.returncode else ""
