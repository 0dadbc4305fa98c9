"""Root keys on their way into an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.image import keys
from orlop.image.runtime import PLACE
from orlop.trust import verify
from orlop.workspace import Workspace
from simulators.repository import RepositorySimulator

ROOT = RepositorySimulator(root_keys=3, threshold=2).first_root


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv(keys.VARIABLE, raising=False)
    (tmp_path / "clone/os").mkdir(parents=True)
    return Workspace(tmp_path / "clone", tmp_path / "state")


def test_what_is_named_comes_before_the_variable_and_that_before_the_file_in_os(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys.find(ws) is None
    roots = [RepositorySimulator().first_root for _ in range(3)]
    (ws.os_tree / "root.json").write_bytes(roots[0])
    assert keys.find(ws) == roots[0]
    (tmp_path / "b").write_bytes(roots[1])
    monkeypatch.setenv(keys.VARIABLE, str(tmp_path / "b"))
    assert keys.find(ws) == roots[1]
    (tmp_path / "c").write_bytes(roots[2])
    assert keys.find(ws, tmp_path / "c") == roots[2]


@pytest.mark.parametrize(
    "raw", [b"", b"{}", ROOT[:-10], ROOT.replace(b'"version":1', b'"version":2'), b" " * (1 << 19)]
)
def test_what_is_no_root_stops_the_build(ws: Workspace, tmp_path: Path, raw: bytes) -> None:
    assert raw != ROOT
    (tmp_path / "root").write_bytes(raw)
    with pytest.raises(BadInput, match="holds no root keys: "):
        keys.find(ws, tmp_path / "root")
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        keys.find(ws, tmp_path / "none")


def test_host_and_private_python_have_them(tmp_path: Path) -> None:
    assert len(ROOT) < verify.MAX_ROOT
    keys.install(tmp_path, ROOT)
    for place in (tmp_path / keys.NAME, tmp_path / PLACE / "usr/share/orlop/root.json"):
        assert place.read_bytes() == ROOT
        assert place.stat().st_mode & 0o777 == 0o644
