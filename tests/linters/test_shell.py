"""Every shell script of this repository, as shellcheck reads it.

A script is a file whose first line starts a shell, or one of the few that others read in. A finding is mended; where
shellcheck cannot know what is so, `# shellcheck disable=` stands at that line, beside the reason.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from orlop.sdk.run import in_sdk
from orlop.workspace import Workspace

ROOT = Path(__file__).parents[2]
STARTS_A_SHELL = re.compile(rb"#!\s*/\S*?(/env )?\s*/?(sh|bash|dash)\b")
READ_IN = tuple(
    f"os/mkosi.extra/usr/lib/orlop/health-{name}" for name in ("checks", "console", "kinds", "user", "wanted")
)
SURELY = (".ci/run", "orlop/oci/demo.sh", "os/mkosi.extra/usr/lib/orlop/assemble-root", "scripts/setup.sh")
DISABLED = re.compile(r"^\s*# shellcheck disable=(?P<what>\S+)(?P<rest>.*)$")


def scripts() -> list[str]:
    """Their paths below the root, sorted; of what git has, or would take."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    files = [name for name in listed if name and (ROOT / name).is_file() and not (ROOT / name).is_symlink()]
    return sorted({name for name in files if _starts_a_shell(ROOT / name)}.union(READ_IN))


def _starts_a_shell(file: Path) -> bool:
    with file.open("rb") as opened:
        return STARTS_A_SHELL.match(opened.readline(200)) is not None


def test_the_scripts_are_found() -> None:
    assert not set(SURELY) - set(scripts())
    assert not [name for name in scripts() if name.endswith(".py")]


@pytest.mark.sdk
def test_shellcheck_has_no_finding(ws: Workspace) -> None:
    # --source-path: what a script reads in is on the machine below os/mkosi.extra, the directives name it so
    argv = ["shellcheck", "--external-sources", "--source-path=os/mkosi.extra", "--format=gcc", *scripts()]
    done = subprocess.run(in_sdk(ws, argv), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.mark.parametrize("script", scripts())
def test_what_is_disabled_has_its_reason_beside_it(script: str) -> None:
    lines = (ROOT / script).read_text().splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if found := DISABLED.match(line):
            assert "," not in found["what"], f"{script}: one finding a line: {line}"
            reason_here = found["rest"].strip().startswith("# ")
            reason_above = before.strip().startswith("# ") and "shellcheck" not in before
            assert reason_here or reason_above, f"{script}: without a reason: {line}"
