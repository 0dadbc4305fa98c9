"""What NodeConfig writes, read by the real systemd-tmpfiles of the SDK."""

from __future__ import annotations

import os
import stat
import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orlop.lab.nodeconfig import NodeConfig
from orlop.processes import run
from orlop.sdk import tree
from orlop.sdk.run import in_sdk
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = [pytest.mark.sdk, pytest.mark.skipif(os.geteuid() != 0, reason="tmpfiles gives files to root")]


@pytest.fixture(scope="module")
def ws() -> Workspace:
    found = Workspace.find()
    tree.ensure(found, Steps())
    return found


def apply(ws: Workspace, config: NodeConfig, root: Path) -> None:
    (root / "extra.conf").write_text(config.tmpfiles())
    argv = in_sdk(ws, ["systemd-tmpfiles", f"--root={root}", "--create", "--boot", str(root / "extra.conf")])
    assert run(argv, what="applying tmpfiles lines", timeout=60) == ""


NAMES = st.text(alphabet=st.characters(min_codepoint=32, blacklist_characters="/\x7f", codec="utf-8"), min_size=1)
PATHS = st.lists(NAMES.filter(lambda n: n not in (".", "..") and len(n.encode()) < 200), min_size=1, max_size=2)
FILES = st.dictionaries(
    PATHS.map(lambda parts: "/f/" + "/".join(parts)),
    st.tuples(st.binary(max_size=200), st.integers(0, 0o7777)),
    max_size=4,
)
TARGETS = st.text(alphabet=string.ascii_letters + "%/.-_ \"'\\~", min_size=1).map(lambda t: "/" + t.strip())


@settings(max_examples=60)
@given(FILES, TARGETS)
def test_any_path_content_mode_and_target_arrive(
    ws: Workspace, files: dict[str, tuple[bytes, int]], target: str
) -> None:
    files = {p: v for p, v in files.items() if not any(o.startswith(p + "/") for o in files)}
    config = NodeConfig().link("/l/link", target).folder("/d x", 0o711)
    for path, (data, mode) in files.items():
        config = config.file(path, data, mode)
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        root = Path(top)
        apply(ws, config, root)
        for path, (data, mode) in files.items():
            made = Path(top + path)
            assert made.read_bytes() == data
            assert stat.S_IMODE(made.stat().st_mode) == mode
        assert (root / "l/link").readlink() == Path(target)
        assert stat.S_IMODE((root / "d x").stat().st_mode) == 0o711


def test_what_the_factory_brought_is_replaced(ws: Workspace) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        root = Path(top)
        (root / "etc").mkdir()
        (root / "etc/file").write_text("factory\n")
        (root / "etc/target").symlink_to("/factory")
        apply(ws, NodeConfig().file("/etc/file", "mine\n").link("/etc/target", "/mine"), root)
        assert (root / "etc/file").read_text() == "mine\n"
        assert (root / "etc/target").readlink() == Path("/mine")


def test_a_name_that_the_configuration_gave_stays(ws: Workspace) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        root = Path(top)
        (root / "etc").mkdir()
        (root / "etc/hostname").write_text("mine\n")
        apply(ws, NodeConfig().names("n1", {"n1": "10.77.0.11"}), root)
        assert (root / "etc/hostname").read_text() == "mine\n"
        assert "10.77.0.11 n1\n" in (root / "etc/hosts").read_text()
