"""What somebody names by hand: taken up only when the engine takes it, and shown without its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import BadInput, OrlopError
from orlop.model.update.reboot import Off
from orlop.node.update.catalog.catalog import FollowedRepository, Following
from orlop.node.update.catalog.offers import Offers
from orlop.node.update.catalog.unsigned import Choice, recall, remember
from tests.unit.node.update.loops import FIRST, SECOND, V2, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """It has no release keys, and the folders `first` and `second` with an image each."""
    machine = Machine(tmp_path, strategy=Off())
    for name, made in (("first", FIRST), ("second", SECOND)):
        made.publish(tmp_path / name, by_name=True)
    start(machine, tmp_path)
    return machine


def start(machine: Machine, folder: Path) -> Offers:
    """The daemon starts anew."""
    repository = FollowedRepository(Following(("https://releases.example",)), None, folder / "releases", b"")
    offers = machine.world.catalog = Offers(repository, folder / "state")
    machine.daemon = machine.start(offers)
    return offers


def test_what_was_taken_up_survives_a_request_that_is_refused(machine: Machine, tmp_path: Path) -> None:
    machine.ask("update", **{"from": str(tmp_path / "second"), "allow_unsigned": True, "reboot": False})
    before = recall(tmp_path / "state")
    assert before == Choice(str(tmp_path / "second"), V2, unsigned=True)
    with pytest.raises(BadInput, match="runs already"):
        machine.ask("update", **{"from": str(tmp_path / "first"), "allow_unsigned": True})
    assert recall(tmp_path / "state") == before
    offers = start(machine, tmp_path)
    assert offers.where() == str(tmp_path / "second")
    machine.turns()
    assert machine.daemon.document()["state"] == {
        "is": "staged", "version": str(V2), "root_hash": SECOND.index.root_hash, "why": "named",
    }  # fmt: skip


def test_another_choice_replaces_it_once_it_is_taken(machine: Machine, tmp_path: Path) -> None:
    SECOND.publish(tmp_path / "mirror", by_name=True)
    for name in ("second", "mirror"):
        machine.ask("update", **{"from": str(tmp_path / name), "allow_unsigned": True, "reboot": False})
        found = recall(tmp_path / "state")
        assert found and found.url == str(tmp_path / name) == machine.daemon.document()["from"]


def test_a_password_is_shown_to_nobody(machine: Machine, tmp_path: Path) -> None:
    url = "https://bob:hunter2@127.0.0.1:1/x?token=hunter2"
    with pytest.raises(OrlopError) as e:
        machine.ask("update", **{"from": url, "to": str(V2)})
    remember(tmp_path / "state", Choice(url, V2, unsigned=False))
    start(machine, tmp_path)
    machine.turns()
    assert machine.daemon.document()["from"] == "https://127.0.0.1:1/x"
    assert "asked to update to 20261202.1 from https://127.0.0.1:1/x" in machine.log
    assert "hunter2" not in "".join([*machine.log, *machine.told, e.value.message, str(machine.daemon.document())])


@pytest.mark.parametrize(
    "place",
    [
        "http://[bad",
        "HTTP://[bad",
        "http://h:99999/",
        "http://höst/",
        "http://h/é",
        "http://a..b/",
        f"http://{'a' * 64}.example/",
        "http://",
        "ftp://h/",
        "file:///a%00b",
        "/a\0b",
        "/a\udcff",
        "/a\nb",
        "/" + "a" * 2000,
    ],
)
@pytest.mark.parametrize("unsigned", [True, False])
def test_an_address_that_is_none_is_refused_and_the_daemon_goes_on(
    machine: Machine, tmp_path: Path, place: str, unsigned: bool
) -> None:
    with pytest.raises(BadInput):
        machine.ask("update", **{"from": place, "to": str(V2), "allow_unsigned": unsigned})
    assert recall(tmp_path / "state") is None
    assert machine.turns() > 0
