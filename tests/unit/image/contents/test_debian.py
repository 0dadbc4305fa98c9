"""What dpkg's database says of a tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.image.contents.debian import installed
from orlop.model.contents.contents import Source
from tests.unit.image.contents.installed import add, make_tree


def test_packages_their_sources_and_their_files(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    add(tree, "a", ["bin/a", "lib/libx.so.1"], more="Source: big (1-0)\n", version="1-0+b2")
    add(tree, "b", ["usr/bin/b"], more="Built-Using: go (= 1.24-1), c (= 2:1)\nStatic-Built-Using: go (= 1.24-1)\n")
    with (tree / "var/lib/dpkg/status").open("a") as f:
        f.write("Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n")
    found = installed(tree)
    assert set(found.components) == {"a", "b"}
    a, b = found.components["a"], found.components["b"]
    assert (a.source, a.version, a.arch, a.distro) == (Source("big", "1-0"), "1-0+b2", "amd64", "trixie")
    assert b.source == Source("b", "1-1")
    assert b.built_from == (Source("c", "2:1"), Source("go", "1.24-1"))
    assert found.owners["usr/bin/a"] == found.owners["usr/lib/libx.so.1"] == "a", "as it is in a merged /usr"
    assert "License: Expat" in found.copyrights["b"]


def test_a_tree_that_is_not_debians(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"status cannot be read: No such file"):
        installed(tmp_path)
    tree = make_tree(tmp_path)
    add(tree, "a", [])
    (tree / "usr/lib/os-release").write_text("ID=fedora\n")
    with pytest.raises(BadInput, match="names no release of Debian"):
        installed(tree)
