"""What is too large for a machine is known before there is one."""

from __future__ import annotations

import random

import pytest

from orlop.model.words.sizes import CONFIG_BYTES
from orlop.node.config.rendering import Rendering
from orlop.simulate.run import fetched_bytes
from orlop.simulate.snapshot import PathKind, RootEntry
from tests.unit.provision.texts import FCOS, Memory, run


def test_what_is_taken_from_elsewhere_is_counted() -> None:
    away, here = {"source": "http://x/y"}, {"source": "data:,x"}
    files = [
        {"path": "/a", "contents": away},
        {"path": "/b", "contents": here, "append": [here, away]},
        {"path": "/c", "contents": here},
        {"path": "/d", "append": [away]},
    ]
    root = {
        path: RootEntry(path, PathKind.FILE, 0o644, 0, 0, size=size)
        for path, size in (("/a", 1), ("/b", 10), ("/c", 100))
    }
    assert (
        fetched_bytes(Rendering({"storage": {"files": files}}), root) == 9
    )  # without the two bytes that it has itself
    assert fetched_bytes(Rendering({}), root) == 0


@pytest.mark.long
def test_a_config_that_no_machine_takes_is_refused_with_what_to_do_instead() -> None:
    files = Memory({"large": random.Random(0).randbytes(CONFIG_BYTES * 4 // 5)})
    result = run("storage: {files: [{path: /opt/x, contents: {local: large}}]}", FCOS, files)
    assert result.ignition is None
    (entry,) = result.report.entries
    assert "a machine takes 64 MB" in entry.message
    assert "verification.hash" in entry.hint
