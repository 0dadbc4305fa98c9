"""The demo image is kept while it is right, and made again when its inputs or its bits change."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import Missing
from orlop.oci import demo
from orlop.oci.layout import read
from orlop.steps import Steps
from orlop.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "state" / "sdk" / "usr" / "bin").mkdir(parents=True)
    (tmp_path / "state" / "sdk" / "usr" / "bin" / "busybox").write_bytes(b"\x7fELF first")
    return Workspace(tmp_path, tmp_path / "state")


def test_made_once_then_kept(ws: Workspace) -> None:
    steps = Steps(quiet=True)
    folder = demo.ensure(ws, steps)
    before = folder.stat().st_ino
    assert demo.ensure(ws, steps).stat().st_ino == before
    assert len(steps.done) == 1
    assert read(folder).ref == demo.REF


def test_another_busybox_makes_another_image(ws: Workspace) -> None:
    first = read(demo.ensure(ws, Steps(quiet=True))).manifest.digest
    (ws.sdk / "usr" / "bin" / "busybox").write_bytes(b"\x7fELF second")
    assert read(demo.ensure(ws, Steps(quiet=True))).manifest.digest != first


def test_a_damaged_copy_is_made_again(ws: Workspace) -> None:
    folder = demo.ensure(ws, Steps(quiet=True))
    whole = read(folder)
    (folder / whole.layers[0].blob).write_bytes(b"gone")
    assert read(demo.ensure(ws, Steps(quiet=True))) == whole


def test_the_container_runs_as_nobody_and_ends_on_sigterm(ws: Workspace) -> None:
    config = read(demo.ensure(ws, Steps(quiet=True))).config
    assert config["config"]["User"] == "65534:65534"
    assert config["config"]["StopSignal"] == "SIGTERM"
    assert (config["architecture"], config["os"]) == ("amd64", "linux")


def test_without_the_sdk_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="busybox") as caught:
        demo.ensure(Workspace(tmp_path, tmp_path / "none"), Steps(quiet=True))
    assert "make up" in caught.value.hint
