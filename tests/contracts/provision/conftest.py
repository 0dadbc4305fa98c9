"""The image as a base for simulations, and a config tried on it."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from orlop.image.build import build
from orlop.simulate.base import Base
from orlop.simulate.run import Outcome, prepare
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.contracts.provision.simulating import try_config


@pytest.fixture(scope="session")
def ws() -> Workspace:
    return Workspace.find()


@pytest.fixture(scope="session")
def base(ws: Workspace) -> Base:
    steps = Steps()
    build(ws, steps)
    return prepare(ws, steps, None)


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
def tried(ws: Workspace, base: Base, folder: Path) -> functools.partial[Outcome]:
    return functools.partial(try_config, ws, base, folder)
