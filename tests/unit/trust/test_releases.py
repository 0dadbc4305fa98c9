"""A machine's check of a release repository: what it costs, and what it is told."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.model.release import index as indexes
from orlop.model.release.channel import Channel, encode, target_name
from orlop.model.release.index import BLOCK, Blob, Index, Part
from orlop.model.release.policy import Go, Machine, answer
from orlop.net.errors import Unreachable
from orlop.trust import releases
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Expired, Refused
from simulators.repository import START, RepositorySimulator
from tests.unit.model.release.channels import SECRET, channel, entry, v

MINUTE = timedelta(minutes=1)


def part(size: int) -> Part:
    count = -(-size // BLOCK)
    return Part(Blob(hashlib.sha256(str(size).encode()).hexdigest(), size), b"\1" * 32 * count)


INDEX = Index(v(2), "a" * 64, part(BLOCK * 3), part(BLOCK * 2), part(5000))


def put(repo: RepositorySimulator, document: Channel) -> None:
    repo.add_target(document.name, target_name(document.name), encode(document))
    repo.publish(document.name, "snapshot", "timestamp")


@pytest.fixture
def repo() -> RepositorySimulator:
    made = RepositorySimulator()
    made.add_target("stable", "stable/20261201.2.x86-64.index.json", indexes.encode(INDEX))
    put(made, channel(entry(1), entry(2)))
    return made


def test_nothing_changed_is_one_small_request(repo: RepositorySimulator) -> None:
    cache = MemoryCache()
    first = releases.check(repo.first_root, cache, repo.whole, "stable", START)
    assert first.changed
    repo.asked()
    sent: list[int] = []

    def counted(path: str, most: int) -> bytes | None:
        raw = repo.whole(path, most)
        sent.append(len(raw or b""))
        return raw

    again = releases.check(repo.first_root, cache, counted, "stable", START + MINUTE)
    assert not again.changed
    assert again.channel == first.channel
    assert repo.asked() == ["timestamp.json"]
    assert sum(sent) <= 500


def test_a_change_is_seen_and_costs_what_changed(repo: RepositorySimulator) -> None:
    cache = MemoryCache()
    releases.check(repo.first_root, cache, repo.whole, "stable", START)
    repo.asked()
    put(repo, channel(entry(1), entry(2), entry(3)))
    found = releases.check(repo.first_root, cache, repo.whole, "stable", START + MINUTE)
    assert found.changed
    assert [e.version.number for e in found.channel.entries] == [1, 2, 3]
    names = repo.asked()
    assert names[:-1] == ["timestamp.json", "2.root.json", "3.snapshot.json", "3.stable.json"]
    assert names[-1].startswith("targets/stable/")


def test_from_document_to_index(repo: RepositorySimulator) -> None:
    cache = MemoryCache()
    found = releases.check(repo.first_root, cache, repo.whole, "stable", START)
    go = answer(found.channel, Machine(v(1), "stable", SECRET), START)
    assert isinstance(go, Go)
    assert releases.index(found, go, cache, repo.whole) == INDEX


def test_an_index_of_another_version_is_refused(repo: RepositorySimulator) -> None:
    repo.add_target("stable", "stable/20261201.3.x86-64.index.json", indexes.encode(INDEX))
    put(repo, channel(entry(3)))
    cache = MemoryCache()
    found = releases.check(repo.first_root, cache, repo.whole, "stable", START)
    go = answer(found.channel, Machine(v(1), "stable", SECRET), START)
    assert isinstance(go, Go)
    with pytest.raises(BadInput, match=r"is the index of 20261201.2"):
        releases.index(found, go, cache, repo.whole)


def test_offline_the_cache_is_enough_for_as_long_as_it_is_good(repo: RepositorySimulator) -> None:
    cache = MemoryCache()
    releases.check(repo.first_root, cache, repo.whole, "stable", START)
    assert releases.known(repo.first_root, cache, "stable", START + 20 * 24 * 60 * MINUTE).channel.entries
    with pytest.raises(Expired):
        releases.known(repo.first_root, cache, "stable", START + 40 * 24 * 60 * MINUTE)
    with pytest.raises((Refused, Unreachable)):
        releases.known(repo.first_root, MemoryCache(), "stable", START)


def test_a_frozen_server_is_found_out_though_nothing_changed(repo: RepositorySimulator) -> None:
    cache = MemoryCache()
    releases.check(repo.first_root, cache, repo.whole, "stable", START)
    with pytest.raises(Expired):
        releases.check(repo.first_root, cache, repo.whole, "stable", START + 40 * 24 * 60 * MINUTE)


def test_a_lost_file_of_the_cache_is_fetched_again(repo: RepositorySimulator) -> None:
    cache = MemoryCache()
    releases.check(repo.first_root, cache, repo.whole, "stable", START)
    for name in list(cache):
        kept = MemoryCache(cache)
        del kept[name]
        assert releases.check(repo.first_root, kept, repo.whole, "stable", START).channel.entries, name
        assert set(kept) == set(cache)


def test_switching_channel_is_one_setting(repo: RepositorySimulator) -> None:
    put(repo, channel(entry(9, channel="beta"), name="beta"))
    cache = MemoryCache()
    for name, numbers in (("stable", [1, 2]), ("beta", [9]), ("stable", [1, 2])):
        found = releases.check(repo.first_root, cache, repo.whole, name, START)
        assert [e.version.number for e in found.channel.entries] == numbers


def test_a_channel_that_is_not_there(repo: RepositorySimulator) -> None:
    with pytest.raises(Refused, match="the repository has no channel edge"):
        releases.check(repo.first_root, MemoryCache(), repo.whole, "edge", START)
    with pytest.raises(Unreachable, match="there is no repository"):
        releases.check(repo.first_root, MemoryCache(), lambda _path, _most: None, "stable", START)


def test_a_signed_document_that_breaks_its_rules_is_refused(repo: RepositorySimulator) -> None:
    repo.add_target("stable", target_name("stable"), b'{"schema": "orlop.channel/1"}')
    repo.publish("stable", "snapshot", "timestamp")
    with pytest.raises(BadInput, match="the document of channel stable cannot be used: channel is missing"):
        releases.check(repo.first_root, MemoryCache(), repo.whole, "stable", START)


def test_a_machine_needs_little_python(tmp_path: Path) -> None:
    """No HTTP library, and no cryptography: Ed25519 is verified without it where it is not installed."""
    for name in ("cryptography", "botocore", "boto3"):  # securesystemslib takes them where they are installed
        (tmp_path / f"{name}.py").write_text("raise ImportError('not on a machine')\n")
    script = f"""
import sys
sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parents[3])!r}]
import orlop.trust.releases, orlop.trust.cache
from datetime import UTC, datetime
from orlop.trust import verify
t = verify.start(open({str(tmp_path / "root.json")!r}, "rb").read(), datetime(2026, 12, 1, tzinfo=UTC))
print(t.root.version, sorted({{"requests", "urllib3", "cryptography.hazmat", "cffi", "typer"}} & set(sys.modules)))
"""
    (tmp_path / "root.json").write_bytes(RepositorySimulator().first_root)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("1 []\n", 0), done.stderr
