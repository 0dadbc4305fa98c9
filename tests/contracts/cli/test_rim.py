"""Every command of the Typer app under hostile surroundings: words and a whole state, never a traceback.

The commands are read from the app (`walk.py`), so one that is added is walked too. Here each meets every kind of
surroundings once, at a place or step that changes from command to command; `make long` (ORLOP_EXPLORE) takes them all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orlop.lab import state
from orlop.lab.paths import LabPaths
from orlop.machines.accel import Acceleration
from orlop.machines.ports import Forward
from orlop.workspace import Workspace
from simulators.publisher import WORDS, make_image

REPOSITORY = Path(__file__).parents[3]
WALK = Path(__file__).with_name("walk.py")
NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
CAN_MOUNT = subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode == 0
MOUNTING = ("read_only", "full")
SURROUNDINGS = (
    *("plain", *MOUNTING, "file_for_folder", "folder_for_file", "loops", "garbage", "empty_objects"),
    *("no_input", "no_output", "no_streams", "full_output", "ascii", "latin_1"),
    *("no_folder", "not_utf8", "fifos", "late", "twice", "interrupted"),
)
# what is refused there, in the words for it
SAID = {
    "read_only": "is on a read-only file system", "full": "no space left", "file_for_folder": "is not a folder",
    "folder_for_file": "is a folder, where a file belongs", "loops": "circle", "garbage": "damaged",
    "no_output": "standard output cannot be written", "full_output": "standard output cannot be written",
    "no_folder": "the folder that this was called in is gone", "twice": "use by another",
    "fifos": "interrupted; nothing half-made was left", "interrupted": "interrupted; nothing half-made was left",
}  # fmt: skip
CONFIG = "variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: /etc/motd\n      contents: {inline: hello}\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world: two images, a lab that is off, a repository with one version, a configuration and a key."""
    world = tmp_path_factory.mktemp("rim") / "template"
    images = world / "state/images"
    make_image(images, "20261201.1")
    make_image(images, "20261202.1", 3)
    (images / "latest").symlink_to("20261202.1")
    (world / "pass").write_text(WORDS + "\n")
    (world / "cfg.bu").write_text(CONFIG)
    env = os.environ | {
        "ORLOP_STATE": str(world / "state"), "ORLOP_RELEASE": str(world / "release"),
        "ORLOP_PASSPHRASE_FILE": str(world / "pass"), "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip
    for words in (["init"], ["publish", "20261201.1"], ["key", "new", "k", "--out", str(world)]):
        subprocess.run([sys.executable, "-m", "orlop", "release", *words], env=env, check=True, capture_output=True)
    next(world.glob("k-*.key")).rename(world / "k.key")
    next(world.glob("k-*.pub")).unlink()
    node = state.NodeState("n1", 1, 22000, (Forward(8080, 80),), 2, 2048)
    paths = LabPaths(Workspace(REPOSITORY, world / "state"), "default")
    paths.folder.mkdir(parents=True)
    state.write(
        paths, state.LabState("default", "/x.raw", "20261201.1", 5, Acceleration("tcg", "no"), "/tmp/x", (node,))
    )
    return world


def walked(surroundings: str, template: Path, work: Path) -> list[dict[str, Any]]:
    argv = [
        *(NAMESPACE if surroundings in MOUNTING else []),
        sys.executable,
        str(WALK),
        str(template),
        str(work),
        surroundings,
    ]
    done = subprocess.run(
        argv, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def trouble(call: dict[str, Any], *, heard: bool) -> str:
    """What is wrong with how a call ended; "" when nothing is. `heard`: its standard error was open."""
    if "Traceback" in call["err"] or "Exception ignored" in call["err"]:
        return "a traceback"
    if call["code"] not in (0, 1, 2, 130):
        return "it hung, and was killed" if call["code"] < 0 else f"exit status {call['code']}"
    if call["after"]:
        return f"what it left is broken: {call['after']}"
    if (
        heard
        and call["code"] == 1
        and not any(word in call["err"] for word in ("error: ", "Error", "Aborted", ": refused"))
    ):
        return "it failed without a word" if call["call"][:2] != ["sdk", "status"] else ""
    if call["code"] == 130 and "interrupted" not in call["err"] and call["call"][:2] != ["lab", "logs"]:
        return "it was interrupted without a word"
    return ""


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_every_command_ends_in_words_and_leaves_a_whole_state(
    surroundings: str, template: Path, tmp_path: Path
) -> None:
    if surroundings in MOUNTING and not CAN_MOUNT:
        pytest.skip("this machine lets this user mount nothing")
    results = walked(surroundings, template, tmp_path)
    assert len(results) > 10
    assert any(SAID.get(surroundings, "") in call["err"] for call in results), "they are not as hostile as they say"
    found = [
        f"{' '.join(call['call'])} ({call['about']}): {why}\n{call['err'][-1500:]}"
        for call in results
        if (why := trouble(call, heard=surroundings != "no_streams"))
    ]
    assert not found, "\n".join(found)
