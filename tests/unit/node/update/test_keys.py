"""A machine that is given a repository's root keys by its configuration: it takes what they signed, and nothing else.

From the text of a configuration to the version that is offered: the translator, the file in /etc, the real client and a
real repository.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.model.update.memory import Memory
from orlop.model.words.version import Version
from orlop.node.update.catalog.catalog import FollowedRepository, Following
from orlop.node.update.keys import root_keys
from orlop.node.update.outside import Situation
from orlop.node.update.settings import parse
from orlop.trust.errors import Refused
from simulators.publisher import Publisher
from tests.unit.model.settings.borders import checked
from tests.unit.provision.texts import Memory as Files
from tests.unit.publish.publishing import release

FIRST, SECOND = Version.parse("20261201.1"), Version.parse("20261201.2")


def publisher(folder: Path, *versions: Version) -> Publisher:
    made = Publisher(folder)
    made.create()
    for version in versions:
        release(made, str(version))
    made.now += timedelta(hours=1)
    return made


@pytest.fixture
def ours(tmp_path: Path) -> Publisher:
    return publisher(tmp_path / "ours", FIRST, SECOND)


@pytest.fixture
def others(tmp_path: Path) -> Publisher:
    return publisher(tmp_path / "others", FIRST, SECOND)


class Believer:
    """Runs the first version. `image`: the root keys in its image."""

    def __init__(self, folder: Path, image: bytes | None = None) -> None:
        self.top, self.state = folder / "top", folder / "state"
        if image is not None:
            self._write("/usr/share/orlop/root.json", image)

    def _write(self, path: str, raw: bytes) -> None:
        place = self.top / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(raw)

    def configured(self, served: Publisher, root: bytes | None = None) -> Believer:
        """Boot with a configuration that names the repository's folder and, if given, root keys."""
        config: dict[str, object] = {"update": {"channel": "alpha", "urls": [f"file://{served.folder}/repo"]}}
        files = checked(
            config | ({"trust": {"root_local": "root.json"}} if root else {}), Files({"root.json": root or b""})
        )
        assert files is not None
        for path, raw in files.items():
            self._write(path, raw)
        self.now = served.now
        return self

    def catalog(self) -> FollowedRepository:
        settings = parse((self.top / "etc/orlop/update.toml").read_bytes())
        following = Following(settings.urls, settings.channel, settings.group, settings.pin)
        return FollowedRepository(following, root_keys(self.top), self.state, b"s" * 32)

    def offered(self) -> Version | None:
        """The version that is offered, whose index was fetched and believed too."""
        catalog, situation = self.catalog(), Situation(self.now, FIRST, Memory())
        target = catalog.offer(situation)
        return catalog.index(target, situation).version if target else None


def test_a_release_that_the_configured_keys_signed_is_taken(ours: Publisher, tmp_path: Path) -> None:
    assert Believer(tmp_path / "m").configured(ours, ours.given).offered() == SECOND


def test_the_configured_keys_count_instead_of_the_images(ours: Publisher, others: Publisher, tmp_path: Path) -> None:
    machine = Believer(tmp_path / "m", image=others.given)
    assert machine.configured(ours, ours.given).offered() == SECOND
    with pytest.raises(Refused, match="is signed by 0 of the"):
        machine.configured(others, ours.given).offered()


def test_without_them_the_images_count_and_nothing_else_does(
    ours: Publisher, others: Publisher, tmp_path: Path
) -> None:
    assert Believer(tmp_path / "a", image=ours.given).configured(ours).offered() == SECOND
    with pytest.raises(Refused, match="is signed by 0 of the"):
        Believer(tmp_path / "b", image=others.given).configured(ours).offered()


def test_a_machine_can_be_moved_to_another_repository_by_its_configuration_alone(
    ours: Publisher, others: Publisher, tmp_path: Path
) -> None:
    """What it learnt of the first one, whose numbers are higher, does not keep it from the second."""
    release(others, "20261201.3")
    machine = Believer(tmp_path / "m", image=others.given).configured(others)
    machine.now += timedelta(hours=1)
    assert machine.offered() == Version.parse("20261201.3")
    with pytest.raises(Refused):
        machine.configured(ours).offered()  # its address alone moves nothing
    assert machine.configured(ours, ours.given).offered() == SECOND


def test_keys_that_are_wrong_are_the_end_of_it_and_the_images_do_not_step_in(ours: Publisher, tmp_path: Path) -> None:
    machine = Believer(tmp_path / "m", image=ours.given).configured(ours, ours.given)
    place = machine.top / "etc/orlop/root.json"
    for raw, says in (
        (ours.given.replace(b"2027", b"2037", 1), "is signed by 0 of the 2 keys it needs"),
        (ours.given[:-10], "cannot be read"),
        (b"", "cannot be read"),
        (ours.given + b" " * (1 << 18), "at most 262144 are read"),
    ):
        place.write_bytes(raw)
        with pytest.raises(BadInput, match="does not hold the root keys of a repository") as raised:
            root_keys(machine.top)
        assert says in raised.value.message and raised.value.hint


def test_a_machine_without_any_has_none(tmp_path: Path) -> None:
    assert root_keys(tmp_path) is None
