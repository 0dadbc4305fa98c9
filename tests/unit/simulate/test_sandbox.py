"""The command line shuts the run in: whatever is asked, no device, nothing of the host to write to but its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.simulate.sandbox import CAPABILITIES, Sandbox

BOX = Sandbox(Path("/sdk"), Path("/usr-of-image"), Path("/tmp/work"))


@pytest.mark.parametrize("as_root", [True, False])
@pytest.mark.parametrize("network", [True, False])
def test_what_can_be_reached(as_root: bool, network: bool) -> None:
    argv = Sandbox(BOX.sdk, BOX.usr, BOX.work, network=network).command(["files"], as_root=as_root)
    writable = [argv[n + 1] for n, word in enumerate(argv) if word in ("--bind", "--dev-bind")]
    assert writable == ["/tmp/work", "/tmp/work/systemd"]
    assert ("--unshare-net" in argv) != network
    assert ("--map-auto" in argv) != as_root
    assert argv[-1] == "files"
    assert {argv[n + 1] for n, word in enumerate(argv) if word == "--cap-add"} == {f"CAP_{c}" for c in CAPABILITIES}
    assert argv[argv.index("--cap-drop") + 1] == "ALL"
