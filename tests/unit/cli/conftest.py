"""A publisher's folder before its first command."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.publisher import WORDS, make_image


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a passphrase, two images and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORLOP_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("ORLOP_RELEASE", raising=False)
    (tmp_path / "pass").write_text(WORDS + "\n")
    monkeypatch.setenv("ORLOP_PASSPHRASE_FILE", str(tmp_path / "pass"))
    make_image(tmp_path / "state/images", "20261201.1")
    make_image(tmp_path / "state/images", "20261202.1", 3, {"podman": "5.4.2+ds1-2+deb13u1", "crun": "1.21-1"})
    return tmp_path
