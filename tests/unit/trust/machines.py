"""A machine that checks a simulated repository, for the tests of what it believes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from orlop.trust import client
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Refused
from orlop.trust.verify import Trusted
from simulators.repository import START, RepositorySimulator

DAY = timedelta(days=1)


class Machine:
    """A machine with the repository's first root in its image, a cache and a clock."""

    def __init__(self, repo: RepositorySimulator) -> None:
        self.repo, self.cache, self.now, self.root = repo, MemoryCache(), START, repo.first_root

    def refresh(self) -> Trusted:
        return client.refresh(self.root, self.cache, self.repo.fetch, self.now)

    def target(self, path: str) -> bytes | None:
        t, info = client.find(self.refresh(), path, self.cache, self.repo.fetch)
        return None if info is None else client.target(t, info, self.repo.targets_fetch)

    def refused(self, message: str, kind: type[Exception] = Refused) -> None:
        """The next check fails like this, and leaves what was trusted for this moment as it was."""
        before = self.versions()
        with pytest.raises(kind, match=message):
            self.target("stable/x")
        after = self.versions()
        assert all(after[name] >= before[name] for name in before)

    def versions(self) -> dict[str, int]:
        return {
            name.removesuffix(".json"): json.loads(raw)["signed"]["version"]
            for name, raw in self.cache.items()
            if "/" not in name and name.endswith(".json")
        }


def release(repo: RepositorySimulator, data: bytes = b"second") -> None:
    repo.add_target("stable", "stable/x", data)
    repo.publish("stable", "snapshot", "timestamp")
