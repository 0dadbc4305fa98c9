"""The image as a base for simulations, and a config tried on it."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from orlop.image.build import build
from orlop.image.unpacked import Base
from orlop.simulate.run import Simulation, prepare
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.contracts.provision.simulating import try_config


@pytest.fixture(scope="session")
def ws() -> Workspace:
    return Workspace.find()


@pytest.fixture(scope="session")
def base(ws: Workspace) -> Base:
    """Of today's sources, built if it is not there; `ORLOP_TEST_IMAGE` names another."""
    steps = Steps()
    given = os.environ.get("ORLOP_TEST_IMAGE")
    if not given:
        build(ws, steps)
    return prepare(ws, steps, Path(given).name if given else None)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A files directory with a tree: a program, a text, a link."""
    root = tmp_path_factory.mktemp("files")
    (root / "tree/sub").mkdir(parents=True)
    (root / "tree/sub/run").write_text("#!/bin/sh\n")
    (root / "tree/sub/run").chmod(0o755)
    (root / "tree/text").write_text("text\n")
    (root / "tree/link").symlink_to("sub/run")
    return root


@pytest.fixture(scope="session")
def tried(ws: Workspace, base: Base, folder: Path) -> functools.partial[Simulation]:
    return functools.partial(try_config, ws, base, folder)
