"""The configuration file that `orlop lab` gives to machines: Butane or Ignition, checked before anything is made.

What is wrong is shown as `orlop config` shows it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from orlop.cli.config.command import local_files, read_raw
from orlop.errors import BadInput
from orlop.provision.report import render
from orlop.provision.translate import translate


def read(file: str, files_dir: Path | None) -> bytes:
    """The Ignition configuration that `file` is or says. Raises BadInput, Missing."""
    ignition = True if file.endswith(".ign") else None
    result = translate(read_raw(file), local_files(files_dir), ignition=ignition)
    if result.report.entries:
        print(render(result.report, result.text, file), file=sys.stderr)
    if result.ignition is None:
        raise BadInput(f"{file} is not a valid configuration", hint=f"`orlop config check {file}` shows what is wrong")
    return result.ignition.encode()
