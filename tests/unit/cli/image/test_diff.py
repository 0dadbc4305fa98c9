"""`orlop image diff`: what it prints, and its JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orlop.cli.app import app
from orlop.workspace import Workspace
from simulators.publisher import PACKAGES, make_image

OLD, NEW = "20261201.1", "20261202.1"
FIXED = "3.5.1-1+deb13u2"


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("ORLOP_STATE", str(tmp_path))
    ws = Workspace(tmp_path, tmp_path)
    make_image(ws.images, OLD)
    make_image(ws.images, NEW, packages={"systemd": PACKAGES["systemd"], "openssl": FIXED, "crun": "1.21-1"})
    return ws


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["image", "diff", *map(str, args)])


@pytest.fixture
def tracker(tmp_path: Path) -> Path:
    path = tmp_path / "tracker.json"
    about = {"releases": {"trixie": {"status": "resolved", "fixed_version": FIXED, "urgency": "high"}}}
    path.write_text(json.dumps({"openssl": {"CVE-2026-1234": about}}))
    return path


@pytest.mark.usefixtures("ws")
def test_packages_files_sizes_and_cves_in_json(tracker: Path) -> None:
    found = json.loads(run(OLD, NEW, "--json", "--tracker", tracker).stdout)
    assert (found["old"], found["new"]) == (OLD, NEW)
    assert found["sizes"]["usr"] == {"old": 64 * 4096, "new": 64 * 4096}
    assert found["packages"] == [
        {"name": "crun", "old": None, "new": "1.21-1", "stable_update": False},
        {"name": "openssl", "old": PACKAGES["openssl"], "new": FIXED, "stable_update": True},
        {"name": "podman", "old": PACKAGES["podman"], "new": None, "stable_update": False},
    ]
    files = {f["path"]: f for f in found["files"]}
    assert set(files) == {"usr/bin/crun", "usr/bin/openssl", "usr/bin/podman"}
    assert files["usr/bin/podman"] == {
        "path": "usr/bin/podman", "what": "gone", "old_bytes": 6, "new_bytes": None, "component": "deb:podman",
    }  # fmt: skip
    assert found["cves"] == [
        {"cve": "CVE-2026-1234", "source": "openssl", "since": FIXED, "components": ["deb:openssl"]}
    ]


@pytest.mark.usefixtures("ws")
def test_what_is_printed(tracker: Path) -> None:
    said = run(OLD, NEW, "--tracker", tracker).stdout
    assert said.splitlines()[0] == f"{OLD} → {NEW}"
    assert re.search(r"^packages +3 differ\n  crun 1\.21-1 is new\n  openssl .* \(stable update\)$", said, re.MULTILINE)
    assert re.search(r"^files +1 new, 1 gone, 1 changed; -2 bytes before compression$", said, re.MULTILINE)
    assert re.search(rf"^CVEs +1 fixed\n  CVE-2026-1234: openssl {re.escape(FIXED)} \(openssl\)$", said, re.MULTILINE)
    assert "CVE" not in run(OLD, NEW).stdout, "without data nothing is said"


@pytest.mark.usefixtures("ws")
def test_an_image_and_itself() -> None:
    said = run(NEW, NEW).stdout
    assert "packages   none differ" in said
    assert "files      none differ" in said
    assert json.loads(run(NEW, NEW, "--json").stdout)["cves"] is None


def test_what_cannot_be_compared_is_said(ws: Workspace, tracker: Path) -> None:
    assert "there is no image 20261203.1" in run(OLD, "20261203.1").stderr
    (ws.images / NEW / "contents.json").unlink()
    found = run(OLD, NEW)
    assert found.exit_code == 1
    assert "nothing says what is in" in found.stderr
    tracker.write_text("{}")
    assert "the data say nothing of trixie" in run(OLD, OLD, "--tracker", tracker).stderr
