"""What time does to what is believed: expiry, renewal, and clocks that are wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orlop.trust.errors import Expired
from simulators.repository import START, RepositorySimulator
from tests.unit.trust.machines import DAY, Machine, release


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "stable"])
def test_what_is_expired_is_refused_and_renewed(machine: Machine, repo: RepositorySimulator, role: str) -> None:
    for name in ("root", "timestamp", "snapshot", "targets", "stable"):
        repo.signed(name).expires = START + (10 * DAY if name == role else 300 * DAY)
        repo.publish(name)
    repo.publish("snapshot", "timestamp")
    machine.target("stable/x")
    machine.now += 20 * DAY
    machine.refused(f"^{role} .* is good until", Expired)
    repo.signed(role).expires = START + 300 * DAY
    repo.publish(*dict.fromkeys((role, "snapshot", "timestamp")))
    assert machine.target("stable/x") == b"first"


def test_everything_is_expired_and_renewed(machine: Machine, repo: RepositorySimulator) -> None:
    """A machine that was off for years comes back to a repository that was renewed meanwhile."""
    machine.now += 3000 * DAY
    machine.refused("is good until", Expired)
    for name in ("root", "targets", "stable", "snapshot", "timestamp"):
        repo.signed(name).expires = machine.now + DAY
        repo.publish(name)
    assert machine.target("stable/x") == b"first"


def test_an_expired_timestamp_still_tells_an_older_one(machine: Machine, repo: RepositorySimulator) -> None:
    release(repo)
    machine.refresh()
    for name in ("root", "targets", "stable", "snapshot"):
        repo.signed(name).expires = START + 300 * DAY
        repo.publish(name)
    machine.now += 100 * DAY
    repo.timestamp.expires = START + 300 * DAY
    repo.timestamp.version = 1
    repo.publish("timestamp")
    machine.refused("sent timestamp 2, and 3 is known")


@pytest.mark.parametrize("now", [datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_a_clock_that_is_wrong(machine: Machine, repo: RepositorySimulator, now: datetime) -> None:
    """In the past nothing is expired, and nothing older is taken either; in the future everything is expired."""
    old = repo.files["timestamp.json"]
    release(repo)
    machine.target("stable/x")
    machine.now = now
    if now.year == 9999:
        machine.refused("is good until", Expired)
        machine.now = START
        assert machine.target("stable/x") == b"second"
    else:
        assert machine.target("stable/x") == b"second"
        repo.files["timestamp.json"] = old
        machine.refused("a rollback")
