"""What a machine takes from a repository: the answer, the target, and what is left when everything else is gone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orlop.errors import BadInput, Missing, OrlopError
from orlop.model.release.channel import Channel, PullBack, encode, index_target, target_name
from orlop.model.release.index import encode as encode_index
from orlop.model.release.policy import Go, Stay, Wait
from orlop.model.release.rollout import WHOLE, Rollout, Wave
from orlop.model.update.memory import Denied, Memory
from orlop.model.update.state import Target
from orlop.model.words.version import Version
from orlop.net.errors import Overloaded, Unreachable
from orlop.node.update.catalog.catalog import FollowedRepository, Following
from orlop.node.update.outside import Situation
from orlop.trust import verify
from orlop.trust.client import MetadataFetch
from orlop.trust.errors import Expired, Refused
from simulators import repository as simulator
from simulators.releases import Release, release
from simulators.repository import START, unreachable
from tests.unit.model.release.channels import HOUR, SECRET, channel, entry, v

DAY = timedelta(days=1)
SLOW = Rollout(START, (Wave(24 * 60, WHOLE),))


@dataclass
class Life:
    """A repository with versions 1 to 3 on stable, and a machine that runs version 1."""

    folder: Path
    repo: simulator.RepositorySimulator = field(default_factory=simulator.RepositorySimulator)
    now: datetime = START
    running: Version = field(default_factory=lambda: v(1))
    memory: Memory = field(default_factory=Memory)
    following: Following = field(default_factory=lambda: Following(("https://one.invalid/",)))
    servers: dict[str, MetadataFetch] = field(default_factory=dict)
    releases: dict[int, Release] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for n in (1, 2, 3):
            self.releases[n] = release(str(v(n)), blocks=8, uki=5000)
            for name in ("alpha", "stable"):
                self.put_index(name, n, encode_index(self.releases[n].index))
        self.put(channel(entry(1)))
        self.servers["https://one.invalid/"] = self.repo.whole
        self.start()

    def put_index(self, name: str, n: int, raw: bytes) -> None:
        self.repo.add_target(name, index_target(name, v(n), "x86-64"), raw)

    def put(self, document: Channel) -> None:
        self.repo.add_target(document.name, target_name(document.name), encode(document))
        self.repo.publish(document.name, "snapshot", "timestamp")

    def start(self) -> None:
        """The daemon starts: after a boot, a crash, an update."""
        self.catalog = FollowedRepository(
            self.following, self.repo.first_root, self.folder, SECRET, fetch=lambda url: self.servers[url]
        )

    @property
    def situation(self) -> Situation:
        return Situation(self.now, self.running, self.memory)

    def offer(self) -> Target | None:
        return self.catalog.offer(self.situation)

    def target(self, n: int, why: str = "newer") -> Target:
        return replace(self.releases[n].target, why=why)

    def cut_off(self) -> None:
        self.servers = dict.fromkeys(self.servers, unreachable)


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path / "releases")


def test_what_the_policy_says_is_kept_and_only_a_go_is_offered(life: Life) -> None:
    assert life.offer() is None
    assert life.catalog.answer == Stay("on stable: running 20261201.1, the newest")
    life.put(channel(entry(1), entry(2, SLOW)))
    assert life.offer() is None
    answer = life.catalog.answer
    assert isinstance(answer, Wait)
    assert (answer.version, answer.wave, answer.waves) == (v(2), 1, 1)
    life.now = answer.at
    assert life.offer() == life.target(2)
    assert isinstance(life.catalog.answer, Go)


def test_the_index_is_fetched_once(life: Life) -> None:
    life.put(channel(entry(1), entry(2)))
    life.offer()
    assert sum("index.json" in path for path in life.repo.asked()) == 1
    life.now += HOUR
    assert life.offer() == life.target(2)
    life.start()
    assert life.offer() == life.target(2)
    assert life.repo.asked() == ["timestamp.json", "timestamp.json"]


def test_a_machine_that_waits_fetches_no_index(life: Life) -> None:
    life.put(channel(entry(1), entry(2, SLOW)))
    life.offer()
    assert not [path for path in life.repo.asked() if "index.json" in path]


def test_hold_pin_deny_list_and_group_reach_the_policy(life: Life) -> None:
    never = Rollout(START + 999 * DAY, (Wave(1, WHOLE),))
    life.put(channel(entry(1), entry(2), entry(3, never, groups=(("canary", Rollout(START - DAY, SLOW.waves)),))))
    assert life.offer() == life.target(2)
    life.following = replace(life.following, group="canary")
    life.start()
    assert life.offer() == life.target(3)
    life.memory = Memory().deny(Denied(v(3), "it failed", START))
    assert life.offer() == life.target(2)
    life.following = replace(life.following, pin=v(1))
    life.start()
    assert life.offer() is None
    life.memory = Memory(hold="a demonstration")
    assert life.offer() is None
    assert life.catalog.answer == Stay("on stable: updates are held (a demonstration); running 20261201.1")


def test_another_channel_is_one_setting(life: Life) -> None:
    life.put(channel(entry(1, channel="alpha"), entry(3, channel="alpha"), name="alpha"))
    assert life.offer() is None
    life.following = replace(life.following, channel="alpha")
    life.start()
    assert life.offer() == life.target(3)
    life.following = replace(life.following, channel="nightly")
    life.start()
    with pytest.raises(Refused, match="has no channel nightly"):
        life.offer()


def test_a_pulled_back_version_goes_down(life: Life) -> None:
    life.running = v(2)
    back = PullBack(v(1), "it forgets files", Rollout(START - DAY, (Wave(60, WHOLE),)))
    life.put(channel(entry(1), entry(2, pull_back=back)))
    assert life.offer() == life.target(1, "pull-back")


def test_after_a_restart_the_index_is_there_with_no_network_no_metadata_and_a_wrong_clock(life: Life) -> None:
    life.put(channel(entry(1), entry(2)))
    target = life.offer()
    assert target is not None
    life.cut_off()
    life.now = datetime(2055, 1, 1, tzinfo=UTC)
    for name in ("timestamp.json", "snapshot.json", "root.json"):
        (life.folder / name).unlink(missing_ok=True)
    life.start()
    assert life.catalog.index(target, life.situation) == life.releases[2].index
    with pytest.raises(Unreachable):
        life.offer()


def test_a_lost_or_damaged_index_is_fetched_again(life: Life) -> None:
    life.put(channel(entry(1), entry(2)))
    target = life.offer()
    assert target is not None
    (kept,) = (life.folder / "indexes").iterdir()
    whole = kept.read_bytes()
    for content in (whole[:-9], b"", whole.replace(b"0", b"1"), None):
        kept.unlink() if content is None else kept.write_bytes(content)
        life.start()
        assert life.catalog.index(target, life.situation) == life.releases[2].index
        assert kept.read_bytes() == whole


def test_another_image_of_the_same_name_is_refused(life: Life) -> None:
    life.put(channel(entry(1), entry(2)))
    with pytest.raises(Refused, match=r"another image called 20261201\.2"):
        life.catalog.index(Target(v(2), "e" * 64), life.situation)


def test_any_damage_to_the_cache_is_mended_by_the_next_check(life: Life) -> None:
    life.put(channel(entry(1), entry(2)))
    assert life.offer() == life.target(2)
    files = [p for p in life.folder.rglob("*") if p.is_file()]
    assert len(files) >= 6
    for path in files:
        for content in (b"", b"\0" * 300, b"{}", path.read_bytes()[:-1]):
            path.write_bytes(content)
            life.start()
            assert life.offer() == life.target(2), path


def test_a_folder_that_cannot_be_written_says_so(life: Life) -> None:
    life.folder.parent.mkdir(exist_ok=True)
    life.folder.write_bytes(b"no folder")
    with pytest.raises(Unreachable, match=r"cannot be kept: .*File exists|Not a directory"):
        life.offer()


def test_the_first_server_that_can_be_believed_counts(life: Life) -> None:
    urls = ("https://one.invalid/", "https://two.invalid/", "https://three.invalid/")
    old = dict(life.repo.files)
    life.put(channel(entry(1), entry(2)))
    life.following = replace(life.following, urls=urls)
    life.servers = dict.fromkeys(urls, unreachable) | {urls[2]: life.repo.whole}
    life.start()
    assert life.offer() == life.target(2)
    life.put(channel(entry(1), entry(2), entry(3)))
    life.servers[urls[1]] = lambda path, _most: old.get(path.removeprefix("metadata/"))
    assert life.offer() == life.target(3)  # the second sends what is older than what is known


def test_when_no_server_can_be_believed_each_says_why(life: Life) -> None:
    life.following = replace(life.following, urls=("https://u:secret@one.invalid/", "https://two.invalid/"))
    life.servers = {life.following.urls[0]: unreachable, life.following.urls[1]: lambda *_: b"{}"}
    life.start()
    with pytest.raises(Refused, match=r"one.invalid/: .*nobody answers.*two.invalid/: the metadata") as e:
        life.offer()
    assert "secret" not in e.value.message


def test_months_offline_and_back(life: Life) -> None:
    life.put(channel(entry(1), entry(2)))
    life.offer()
    server, life.servers = life.servers, {"https://one.invalid/": unreachable}
    for day in range(1, 200, 20):
        life.now = START + day * DAY
        life.start()
        with pytest.raises(Unreachable):
            life.offer()
    life.servers = server
    with pytest.raises(Expired, match="good until 2026-12-31"):
        life.offer()  # nobody renewed the repository either
    for signed in (life.repo.root, life.repo.timestamp, life.repo.snapshot, life.repo.targets):
        signed.expires = life.now + 30 * DAY
    life.repo.delegated["stable"].expires = life.now + 30 * DAY
    for _ in range(2):  # slept through two of them
        life.repo.publish("root", also_by={"root": life.repo.rotate("root")})
    life.repo.publish("targets", "stable", "snapshot", "timestamp")
    assert life.offer() == life.target(2)


@pytest.mark.parametrize(
    ("now", "kind", "words"),
    [
        (datetime(2035, 1, 1, tzinfo=UTC), Expired, r"good until 2026-12-31 .* now is 2035-01-01"),
        (
            datetime(1970, 1, 1, tzinfo=UTC),
            Refused,
            r"this machine's clock says 1970-01-01, and channel stable is of 2026",
        ),
        (datetime(9999, 12, 31, 23, tzinfo=UTC), Expired, "now is 9999"),
        (datetime(1, 1, 1, 1, tzinfo=UTC), Refused, "this machine's clock says"),
    ],
)
def test_a_clock_that_is_years_wrong_stops_updates_and_says_so(
    life: Life, now: datetime, kind: type[OrlopError], words: str
) -> None:
    life.put(channel(entry(1), entry(2)))
    life.now = now
    with pytest.raises(kind, match=words) as e:
        life.offer()
    assert "clock" in e.value.hint
    life.now = START
    assert life.offer() == life.target(2)


def test_what_was_granted_stays_granted_when_the_clock_goes_back_but_not_when_it_is_halted(life: Life) -> None:
    life.put(channel(entry(1), entry(2, SLOW)))
    life.now = START + 2 * DAY
    assert life.offer() == life.target(2)
    life.now = START + timedelta(seconds=1)
    assert life.offer() == life.target(2)
    life.start()
    assert life.offer() == life.target(2)
    life.now += HOUR
    life.put(channel(entry(1), entry(2, SLOW.halt(life.now), halt="it eats disks")))
    assert life.offer() is None
    assert isinstance(life.catalog.answer, Stay)


def test_old_indexes_are_removed(life: Life) -> None:
    numbers = range(2, 8)
    for n in numbers:
        life.releases[n] = release(str(v(n)), blocks=8, uki=5000)
        life.put_index("stable", n, encode_index(life.releases[n].index))
        life.put(channel(*(entry(k) for k in range(1, n + 1))))
        assert life.offer() == life.target(n)
    kept = sorted(p.name for p in (life.folder / "indexes").iterdir())
    assert len(kept) == 3
    assert {f"20261201.{n}." in " ".join(kept) for n in (5, 6, 7)} == {True}


def hostile(life: Life) -> list[bytes]:
    good = encode_index(life.releases[3].index)
    return [
        *(b"", b"\xff" * 100, b"[" * 50_000, good[:-20], encode_index(life.releases[2].index)),
        good.replace(b'"block_size":4096', b'"block_size":1'),
        good.replace(b'"uki":{"blocks":"', b'"uki":{"blocks":"AAAA'),
    ]


@pytest.mark.parametrize("n", range(7))
def test_a_hostile_index_is_refused_and_what_was_taken_up_goes_on(life: Life, n: int) -> None:
    life.put(channel(entry(1), entry(2)))
    target = life.offer()
    assert target is not None
    life.put_index("stable", 3, hostile(life)[n])
    life.put(channel(entry(1), entry(2), entry(3)))
    with pytest.raises(OrlopError):
        life.offer()
    assert life.catalog.index(target, life.situation) == life.releases[2].index
    life.start()
    assert life.catalog.index(target, life.situation) == life.releases[2].index


def test_by_name(life: Life) -> None:
    life.running = v(2)
    life.put(channel(entry(1), entry(2), entry(3), minimum=1))
    assert life.catalog.named(v(1), life.situation) == life.target(1, "named")
    assert life.catalog.named(v(3), life.situation) == life.target(3, "named")
    assert life.catalog.index(life.target(1), life.situation) == life.releases[1].index
    with pytest.raises(BadInput, match=r"has no 20261201\.9"):
        life.catalog.named(v(9), life.situation)


def test_without_keys_or_addresses_the_machine_says_what_is_missing(life: Life) -> None:
    bare = FollowedRepository(life.following, None, life.folder, SECRET, fetch=lambda _: unreachable)
    with pytest.raises(Missing, match="this image has no keys of a release repository: "):
        bare.offer(life.situation)
    life.following = replace(life.following, urls=())
    life.start()
    with pytest.raises(Missing, match="no address of a release repository") as e:
        life.offer()
    assert "update.urls" in e.value.hint


def test_an_image_with_older_keys_does_not_unlearn_newer_ones(life: Life) -> None:
    assert life.offer() is None
    old = life.repo.rotate("root")
    life.repo.publish("root", "timestamp", also_by={"root": old})
    life.offer()
    assert verify.start((life.folder / "root.json").read_bytes(), START).root.version == 2
    life.repo.files.pop("2.root.json")
    life.start()
    assert life.offer() is None


def test_a_server_that_asks_to_be_left_alone_is_and_others_are_asked_meanwhile(life: Life) -> None:
    busy, other = "https://one.invalid/", "https://two.invalid/"
    asked: list[datetime] = []

    def overloaded(path: str, most: int) -> bytes | None:
        asked.append(life.now)
        raise Overloaded(f"one.invalid answers 503 for {path} ({most})", after=timedelta(minutes=30))

    life.servers |= {busy: overloaded, other: life.repo.whole}
    life.start()
    with pytest.raises(Overloaded):
        life.offer()
    life.now += timedelta(minutes=10)
    with pytest.raises(Overloaded, match="asked to be left alone for another 20 min") as e:
        life.offer()
    assert e.value.after == timedelta(minutes=20)
    life.following = replace(life.following, urls=(busy, other))
    life.catalog.following = life.following
    assert life.offer() is None
    assert asked == [START]
    life.now += timedelta(minutes=20)
    assert life.offer() is None
    assert asked == [START, life.now]
    life.now -= 900 * DAY  # the clock was wrong: nobody is left alone for years
    life.servers[other] = unreachable
    with pytest.raises(Overloaded):
        life.offer()
    assert asked[-1] == life.now


def test_another_repository_is_followed_once_its_root_is_given(life: Life) -> None:
    """Its numbers are lower than what was known; an index that was taken up stays."""
    old = life.repo.rotate("root")
    life.repo.publish("root", "timestamp", also_by={"root": old})
    life.put(channel(entry(1), entry(2)))
    assert life.offer() == life.target(2)
    life.repo = simulator.RepositorySimulator()
    life.put_index("stable", 3, encode_index(life.releases[3].index))
    life.put(channel(entry(1), entry(3)))
    life.servers["https://one.invalid/"] = life.repo.whole
    with pytest.raises(Refused):
        life.offer()
    life.start()
    assert life.offer() == life.target(3)
    life.cut_off()
    assert life.catalog.index(life.target(2), life.situation) == life.releases[2].index
