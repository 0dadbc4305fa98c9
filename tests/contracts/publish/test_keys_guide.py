"""The ceremony of "Keys", typed by the four people of the guide, each in a folder of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from simulators.publisher import WORDS, make_image
from tests.pages import ROOT, of

GUIDE = ROOT / "docs/guide/keys.md"
HOLDERS = ("anna", "ben", "cleo")
LINE = re.compile(r"(\w+)\$  orlop (.*?)(?: {2,}#.*)?")


def typed(home: Path, words: str) -> None:
    env = {**os.environ, "ORLOP_PASSPHRASE_FILE": str(home.parent / "pass"), "PYTHONPATH": str(ROOT),
           "ORLOP_STATE": str(home.parent / "state")}  # fmt: skip
    env.pop("ORLOP_RELEASE", None)
    done = subprocess.run(
        [sys.executable, "-m", "orlop", *words.split()], cwd=home, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stderr)


def test_a_ceremony_ends_with_a_repository(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text(WORDS)
    make_image(tmp_path / "state/images", "20261201.1")
    (tmp_path / "state/images/latest").symlink_to("20261201.1")
    for name in (*HOLDERS, "publisher"):
        (tmp_path / name).mkdir()
    make_key, init, sign = (
        [found for line in block.text.splitlines() if (found := LINE.fullmatch(line))]
        for block in of(Path(__file__), GUIDE)
    )
    for name in HOLDERS:
        for line in make_key:
            typed(tmp_path / name, line[2].replace("anna", name))
        (public,) = (tmp_path / name).glob("*.pub")
        shutil.copy(public, tmp_path / "publisher" / f"{name}.pub")
    publisher = tmp_path / "publisher"
    for line in init:
        assert line[1] == "publisher"
        typed(publisher, line[2])
    draft = publisher / "release/root.draft.json"
    for name in HOLDERS[:2]:  # two of three are enough
        shutil.copy(draft, tmp_path / name)
        for line in sign:
            typed(tmp_path / name, line[2])
        shutil.copy(tmp_path / name / draft.name, draft)
    typed(publisher, "release root apply")
    typed(publisher, "release publish")
    typed(publisher, "release verify")
