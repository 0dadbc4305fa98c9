from __future__ import annotations

import os
from pathlib import Path

import pytest

from orlop.sdk import tree
from orlop.steps import Steps
from orlop.workspace import Workspace


@pytest.fixture(scope="session")
def ws() -> Workspace:
    found = Workspace.find()
    tree.ensure(found, Steps())
    return found


@pytest.fixture(autouse=True)
def openssl(ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's program, by its own loader: this computer's may be too old to be told when a certificate begins."""
    libraries = ws.sdk / "usr/lib/x86_64-linux-gnu"
    program = tmp_path / "bin/openssl"
    program.parent.mkdir()
    loader = next((ws.sdk / "usr/lib64").glob("ld-linux*"))
    program.write_text(f'#!/bin/sh\nexec {loader} --library-path {libraries} {ws.sdk}/usr/bin/openssl "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
