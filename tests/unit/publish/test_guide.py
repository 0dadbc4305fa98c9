"""The guides say what is so: their commands run, from nothing to a machine that has all it needs to update."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
import typer

from orlop.cli.release.command import app
from orlop.model.release.channel import decode, encode
from orlop.model.release.policy import Go, Machine, Stay, Wait, answer
from orlop.model.release.rollout import PLANS, parse_waves
from orlop.model.words.version import Version
from orlop.publish.serve import server
from orlop.trust import releases
from orlop.trust.cache import FolderCache
from orlop.trust.http import fetcher
from simulators.publisher import WORDS, make_image
from tests.pages import of

REPOSITORY = Path(__file__).parents[3]
PUBLISH, KEYS = (REPOSITORY / "docs/guide" / name for name in ("publish.md", "keys.md"))
PROTOCOL = REPOSITORY / "docs/protocol/releases.md"


def commands() -> list[list[str]]:
    """Those of "Publish your own OS" that need no machine."""
    lines = [line for block in of(Path(__file__), PUBLISH) for line in block.text.splitlines()]
    return [re.findall(r'"[^"]*"|\S+', line) for line in lines]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A publisher's folder after every command of the guide."""
    here = tmp_path_factory.mktemp("guide")
    make_image(here / "state/images", "20261201.1")
    (here / "state/images/latest").symlink_to("20261201.1")
    (here / "pass").write_text(WORDS)
    env = {**os.environ, "ORLOP_STATE": str(here / "state"), "ORLOP_PASSPHRASE_FILE": str(here / "pass"),
           "PYTHONPATH": str(REPOSITORY)}  # fmt: skip
    env.pop("ORLOP_RELEASE", None)
    for program, *words in commands():
        assert program == "orlop"
        argv = [sys.executable, "-m", "orlop", *(word.strip('"') for word in words)]
        done = subprocess.run(argv, cwd=here, env=env, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, (words, done.stderr)
    return here


def test_the_guide_leads_to_a_machine_that_can_update(published: Path, tmp_path: Path) -> None:
    """Over HTTP, with nothing but the first root: check, answer, index, and every block of the image by its hash."""
    made = server(published / "release/repo", "127.0.0.1", 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        fetch, cache = fetcher(f"http://127.0.0.1:{made.server_address[1]}/"), FolderCache(tmp_path / "cache")
        given = (published / "release/root.json").read_bytes()
        found = releases.check(given, cache, fetch, "stable", datetime.now(UTC))
        machine = Machine(Version.parse("20261101.1"), "stable", b"secret")
        waiting = answer(found.channel, machine, datetime.now(UTC))
        assert isinstance(waiting, Wait | Go)
        go = answer(found.channel, machine, datetime(2100, 1, 1, tzinfo=UTC))
        assert isinstance(go, Go)
        index = releases.index(found, go, cache, fetch)
        for part in (index.usr, index.verity, index.uki):
            raw = fetch(part.blob.path, part.size)
            assert raw is not None
            for n in range(part.blocks):
                assert sha256(raw[n * 4096 : (n + 1) * 4096]).digest() == part.digest(n)
        assert not releases.check(given, cache, fetch, "stable", datetime.now(UTC)).changed
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def test_the_guides_name_every_command() -> None:
    text = PUBLISH.read_text() + KEYS.read_text()
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert re.search(rf"`(orlop release )?{name}\b", text), name
        for option in (p for p in command.params if p.param_type_name == "option" and p.name != "help"):
            assert any(o in text for o in option.opts), (name, option.opts)


@pytest.mark.parametrize("name", [n for n in PLANS if n != "at-once"])
def test_the_guide_has_the_plans_as_they_are(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| (.*) \|$", PUBLISH.read_text(), re.MULTILINE)
    assert row is not None
    assert parse_waves(row[1].replace(" ", "")) == PLANS[name][0]


def test_the_protocols_example_is_a_document() -> None:
    block = re.search(r"```json\n(.*?)```", PROTOCOL.read_text(), re.DOTALL)
    assert block is not None
    about = json.loads(block[1]) | {"minimum_secure": "20261201.1"}
    document = decode(json.dumps(about).encode(), "stable")
    assert decode(encode(document), "stable") == document
    newest = Machine(Version.parse("20261201.1"), "stable", b"s")
    assert isinstance(answer(document, newest, datetime(2027, 1, 1, tzinfo=UTC)), Stay)
