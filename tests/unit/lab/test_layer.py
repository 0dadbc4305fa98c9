"""Layers of small trees: what is in the archive, and over which folders it is laid."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from orlop.errors import BadInput, Missing
from orlop.image import runtime, sources
from orlop.lab.affected import GONE, USR
from orlop.lab.layer import need_python, pack, point_of

HAS = {"runtime": {"version": "3.13.5", "modules": ["json", "json.decoder", "html", "os", "os.path"]}}


def unpacked(archive: bytes) -> tuple[dict[str, tarfile.TarInfo], dict[str, str]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = {member.name: member for member in tar.getmembers()}
        texts = {n: f.read().decode() for n, m in members.items() if m.isfile() and (f := tar.extractfile(m))}
    return members, texts


def make(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_an_archive_has_the_files_of_root_their_folders_and_where_they_go(tmp_path: Path) -> None:
    make(tmp_path, {"usr/lib/orlop/health": "#!/bin/sh\n", "usr/bin/orlop": "#!/bin/sh\n"})
    (tmp_path / "usr/lib/orlop/health").chmod(0o755)
    wants = tmp_path / "usr/lib/systemd/system/a.target.wants"
    wants.mkdir(parents=True)
    (wants / "a.service").symlink_to("../a.service")
    files = {USR + "lib/orlop/health": "program 1"}
    members, texts = unpacked(pack(tmp_path, files))
    assert texts["points"].splitlines() == ["bin", "lib/orlop", "lib/systemd"]
    assert json.loads(texts["files.json"]) == files
    assert members["layer/usr/lib/orlop/health"].mode == 0o755
    assert members["layer/usr/bin/orlop"].mode == 0o644
    assert members["layer/usr/lib/systemd/system/a.target.wants/a.service"].linkname == "../a.service"
    assert {(m.uid, m.gid) for m in members.values()} == {(0, 0)}
    names = list(members)
    assert all(names.index(str(Path(n).parent)) < i for i, n in enumerate(names) if n.startswith("layer/"))


def test_a_file_that_is_gone_becomes_a_device_that_hides_it(tmp_path: Path) -> None:
    members, texts = unpacked(pack(tmp_path, {"orlop/node/old.py": GONE, USR + "lib/orlop/old": GONE}))
    hidden = {n for n, m in members.items() if m.ischr() and (m.devmajor, m.devminor) == (0, 0)}
    library = f"layer/{runtime.PLACE}/{runtime.LIBRARY}/orlop/node"
    assert hidden == {"layer/usr/lib/orlop/old", f"{library}/old.py", f"{library}/__pycache__/old.cpython-313.pyc"}
    assert texts["points"] == "lib/orlop\n"


def test_a_file_in_the_place_of_a_folder_hides_what_was_in_it(tmp_path: Path) -> None:
    make(tmp_path, {"usr/lib/orlop/checks": ""})
    members, _ = unpacked(pack(tmp_path, {USR + "lib/orlop/checks": "file 1", USR + "lib/orlop/checks/one": GONE}))
    assert not [m for m in members.values() if m.ischr()]


def test_nothing_is_laid_over_anything_when_nothing_differs(tmp_path: Path) -> None:
    members, texts = unpacked(pack(tmp_path, {}))
    assert (texts["points"], texts["files.json"], sorted(members)) == ("", "{}", ["files.json", "points"])


@pytest.mark.parametrize(
    ("place", "point"),
    [
        ("usr/lib/orlop/runtime/usr/lib/python3.13/orlop/a.py", "lib/orlop"),
        ("usr/lib/sysctl.d/60-orlop.conf", "lib/sysctl.d"),
        ("usr/share/containers/storage.conf", "share/containers"),
        ("usr/lib/a", "lib"),
        ("usr/bin/orlop", "bin"),
    ],
)
def test_an_overlay_is_mounted_deep_and_never_over_usr(place: str, point: str) -> None:
    assert point_of(place) == point


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import json\nfrom json import dumps\nfrom json.decoder import JSONDecoder\nfrom os import path\n", ""),
        ("from orlop.errors import BadInput\n", ""),
        ("import csv\n", "csv"),
        ("from html import parser\n", r"html\.parser"),
        ("def f():\n    from xml.etree import ElementTree\n", r"xml\.etree\.ElementTree"),
    ],
)
def test_an_import_that_the_images_python_has_not_is_named(tmp_path: Path, source: str, said: str) -> None:
    make(tmp_path, {"orlop/a.py": source})
    if not said:
        need_python(HAS, tmp_path, ["orlop/a.py", "orlop/gone.py"])
        return
    with pytest.raises(BadInput, match=f"no {said}, which") as caught:
        need_python(HAS, tmp_path, ["orlop/a.py"])
    assert "orlop image build" in caught.value.hint


def test_an_image_of_another_python_is_refused(tmp_path: Path) -> None:
    for about in ({"runtime": {"version": "3.12.9"}}, {}):
        with pytest.raises(BadInput, match=r"the tree's in 3\.13"):
            need_python(about, tmp_path, [])


def test_an_image_that_does_not_say_what_it_was_made_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"nothing says what image") as caught:
        sources.read(tmp_path)
    assert "orlop image build" in caught.value.hint
    sources.write(tmp_path, {"os/a": "file 1"})
    assert sources.read(tmp_path) == {"os/a": "file 1"}
