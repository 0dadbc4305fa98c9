"""Each file of a finished tree has its component, whatever the build did to it; a program without one is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.image import runtime
from orlop.image.contents.collect import MOVED, Collector
from orlop.image.seal import LOADER, ON_ESP
from orlop.model.words.arch import BUILT
from orlop.model.words.version import Version
from orlop.workspace import Workspace
from tests.unit.image.contents.installed import ELF, add, make_tree

VERSION = Version.parse("20261201.1")
(IGNITION, PACKAGED), (ETCD, ETCD_PACKAGED) = MOVED.items()
PRIVATE = f"{runtime.PLACE}/{runtime.LIBRARY}"
LIB = f"usr/lib/{BUILT.libraries}"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path / "repo", tmp_path / "state")
    extra = ws.os_tree / "mkosi.extra"
    (extra / "etc").mkdir(parents=True)
    (extra / "etc/ours.conf").write_text("x")
    (ws.root / "LICENSE").write_text("ours")
    sdk = make_tree(ws.sdk)
    add(sdk, "boot-efi", [LOADER], more="Source: big\n")
    (sdk / "usr/share/doc/boot-efi/copyright").unlink()
    return ws


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = make_tree(tmp_path / "tree")
    add(tree, "ignition", [PACKAGED], more="Built-Using: go (= 1)\n")
    add(tree, "etcd-server", [ETCD_PACKAGED])
    add(tree, "python", [runtime.PYTHON, f"{runtime.LIBRARY}/json/decoder.py"], licence="PSF-2")
    add(tree, "libx", [f"{LIB}/libx.so.1"])
    add(tree, "linux", ["lib/modules/6/kernel/a.ko.xz"], licence="GPL-2")
    add(tree, "big", ["etc/big.conf"], licence="GPL-2+", more="Source: big\n")
    add(tree, "gone", ["usr/bin/gone"])
    return tree


def copy(tree: Path, path: str) -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ELF, tree / path)


def build(tree: Path) -> None:
    """What a build does to the tree's files, in short."""
    for path, packaged in MOVED.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / packaged).rename(tree / path)
    (tree / "lib").rename(tree / "usr/lib-moved")
    copy(tree, "usr/lib/modules/6/kernel/a.ko")
    shutil.rmtree(tree / "usr/lib-moved")
    (tree / runtime.PYTHON).unlink()
    for path in (
        f"{runtime.PLACE}/{runtime.PYTHON}",
        f"{runtime.PLACE}/{LIB}/libx.so.1",
        f"{PRIVATE}/json/decoder.pyc",
        f"{PRIVATE}/tuf/api/metadata.pyc",
        f"{PRIVATE}/orlop/node/a.py",
        "usr/share/factory/etc/ours.conf",
        "usr/share/factory/etc/big.conf",
    ):
        copy(tree, path)
    for path in ("usr/bin/gone", "usr/share/doc", "etc"):
        shutil.rmtree(tree / path) if (tree / path).is_dir() else (tree / path).unlink()
    (tree / "usr/share/factory/etc/passwd").write_text("made")
    (tree / f"{LIB}/libx.so").symlink_to("libx.so.1")


def test_every_file_has_its_component_wherever_the_build_put_it(ws: Workspace, tree: Path) -> None:
    collector = Collector.read(ws, tree)
    build(tree)
    collector.install_texts(tree)
    contents = collector.contents(ws, tree, VERSION)
    found = {path: file.component for path, file in contents.files.items()}
    assert {
        IGNITION: "deb:ignition",
        ETCD: "deb:etcd-server",
        f"{runtime.PLACE}/{runtime.PYTHON}": "deb:python",
        f"{runtime.PLACE}/{LIB}/libx.so.1": "deb:libx",
        f"{PRIVATE}/json/decoder.pyc": "deb:python",
        f"{PRIVATE}/tuf/api/metadata.pyc": "pypi:tuf",
        f"{PRIVATE}/orlop/node/a.py": "own:orlop",
        "usr/share/factory/etc/ours.conf": "own:orlop",
        "usr/share/factory/etc/big.conf": "deb:big",
        "usr/share/factory/etc/passwd": "",
        "usr/lib/modules/6/kernel/a.ko": "deb:linux",
        f"{LIB}/libx.so.1": "deb:libx",
        **dict.fromkeys((f"efi/{name}" for name in ON_ESP), "deb:boot-efi"),
    }.items() <= found.items()
    components = {c.key: c for c in contents.components}
    assert set(components) == {
        *("deb:big", "deb:boot-efi", "deb:etcd-server", "deb:ignition", "deb:libx", "deb:linux", "deb:python"),
        *("own:orlop", *(f"pypi:{name}" for name in runtime.THIRD_PARTY)),
    }, "what nothing is left of is not in the image"
    assert components["deb:linux"].licence == "GPL-2.0-only"
    assert components["deb:boot-efi"].licence == "GPL-2.0-or-later", (
        "the SDK has no texts; another package's, same source"
    )
    assert components["pypi:securesystemslib"].licence == "CC0-1.0 AND MIT", "its Ed25519 is another's"
    assert [s.name for s in components["deb:ignition"].built_from] == ["go"]
    assert contents.files[f"{LIB}/libx.so"].digest == "→ libx.so.1"


def test_the_texts_are_in_the_tree_each_once(ws: Workspace, tree: Path) -> None:
    common = tree / "usr/share/common-licenses"
    common.mkdir()
    for name in ("GPL-2", "GPL-3", "GPL"):
        (common / name).write_text(f"text of {name}" if name != "GPL" else "text of GPL-3")
    with (tree / "usr/share/doc/linux/copyright").open("a") as f:
        f.write("\n see /usr/share/common-licenses/GPL-2.\n")
    collector = Collector.read(ws, tree)
    build(tree)
    shutil.rmtree(common)
    collector.install_texts(tree)
    texts = {str(p.relative_to(tree / "usr/share")): p for p in (tree / "usr/share").rglob("*") if p.is_file()}
    assert {
        "doc/linux/copyright",
        "doc/orlop/LICENSE",
        "doc/python-tuf/LICENSE-MIT",
        "common-licenses/GPL-2",
    } <= texts.keys()
    assert "doc/python-securesystemslib/_vendor-ed25519-LICENSE" in texts
    assert not {"doc/gone/copyright", "common-licenses/GPL-3"} & texts.keys()
    assert texts["doc/libx/copyright"].samefile(texts["doc/ignition/copyright"])
    assert texts["doc/boot-efi/copyright"].samefile(texts["doc/big/copyright"])
    assert collector.contents(ws, tree, VERSION).files["usr/share/doc/python-tuf/LICENSE"].component == "pypi:tuf"


@pytest.mark.parametrize("path", ["usr/lib/helper", f"{PRIVATE}/stray.pyc", "usr/lib/python3/a.py"])
def test_a_program_or_module_that_is_nobodys_fails_the_build(ws: Workspace, tree: Path, path: str) -> None:
    collector = Collector.read(ws, tree)
    build(tree)
    copy(tree, path)
    with pytest.raises(BadInput, match=f"nobody knows where /{path} comes from"):
        collector.contents(ws, tree, VERSION)
