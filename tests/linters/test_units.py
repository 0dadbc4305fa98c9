"""Every unit of ours, as `systemd-analyze verify` reads it; what it cannot see is in `units`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orlop.workspace import Workspace
from tests.linters import units

pytestmark = pytest.mark.sdk
BOOTS = {"mkosi.extra": units.system, "initrd/tree": units.initrd}


@pytest.mark.parametrize("tree", BOOTS)
def test_verify_has_no_finding(ws: Workspace, tmp_path: Path, tree: str) -> None:
    BOOTS[tree](ws, tmp_path)
    mine = units.ours(ws.os_tree / tree)
    assert len(mine) > 9
    assert units.findings(ws, tmp_path, mine, units.dropped_into(ws.os_tree / tree)) == []


WRONG = {
    "[Unit]\nDescripton=x\n[Service]\nExecStart=/usr/bin/true\n": "Unknown key 'Descripton'",
    "[Servise]\nExecStart=/usr/bin/true\n": "Unknown section 'Servise'",
    "[Service]\nExecStart=/usr/bin/true\nRestart=sometimes\n": "Failed to parse",
    "[Service]\nType=oneshot\n": "Service has no ExecStart=",
    "[Service]\nExecStart=/usr/lib/orlop/not-there\n": "is not executable",
    "[Unit]\nRequires=not-there.service\n[Service]\nExecStart=/usr/bin/true\n": "not-there.service not found",
    "[Unit]\nBefore=sysinit.target\n[Service]\nExecStart=/usr/bin/true\n": "Found ordering cycle",
}


@pytest.mark.parametrize(("text", "said"), WRONG.items(), ids=WRONG.values())
@pytest.mark.parametrize("boot", BOOTS.values(), ids=BOOTS)
def test_what_is_wrong_is_found(
    ws: Workspace, tmp_path: Path, boot: Callable[[Workspace, Path], None], text: str, said: str
) -> None:
    boot(ws, tmp_path)
    unit = tmp_path / units.UNITS / "wrong.service"
    unit.write_text(text)
    wants = unit.parent / "initrd.target.wants" if boot is units.initrd else unit.parent / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / unit.name).symlink_to(f"../{unit.name}")
    assert said in "\n".join(units.findings(ws, tmp_path, [unit.name]))
