"""A machine's life beside a repository that changes and a server that cheats, as hypothesis comes up with it.

Whatever happens: what the machine accepts was published, is never older than what it accepted before, and an honest
server always brings it to the newest, however the one before cheated.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from orlop.net.errors import Unreachable
from orlop.trust import client
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Refused
from simulators.repository import START, RepositorySimulator


class Life(RuleBasedStateMachine):
    moments = Bundle("moments")

    @initialize()
    def begin(self) -> None:
        self.repo = RepositorySimulator()
        self.first = self.repo.first_root
        self.cache = MemoryCache()
        self.count = 0
        self.accepted = 0
        self.roots = 1
        self.now = START
        self.lies: dict[str, bytes | None] = {}
        self.release()

    @rule(target=moments)
    def look(self) -> dict[str, bytes]:
        """What a cheating server may show again later."""
        return dict(self.repo.files)

    @rule()
    def release(self) -> None:
        self.count += 1
        self.repo.add_target("stable", "stable/x", str(self.count).encode())
        self.repo.publish("targets", "stable", "snapshot", "timestamp")

    @rule(role=st.sampled_from(["root", "timestamp", "snapshot", "targets"]))
    def rotate(self, role: str) -> None:
        old = self.repo.rotate(role)
        self.repo.publish("root", also_by={"root": old if role == "root" else []})
        self.repo.publish("targets", "snapshot", "timestamp")

    @rule()
    def rotate_channel(self) -> None:
        self.repo.rotate("stable", delegator="targets")
        self.repo.publish("targets", "stable", "snapshot", "timestamp")

    @rule(days=st.integers(1, 5))
    def time_passes(self, days: int) -> None:
        """The repository is renewed; what a cheat shows may have expired."""
        self.now += timedelta(days=days)
        for role in ("root", "targets", "stable", "snapshot", "timestamp"):
            self.repo.signed(role).expires = self.now + timedelta(days=30)
        self.repo.publish("root", "targets", "stable", "snapshot", "timestamp")

    @rule(then=moments, what=st.sampled_from(["timestamp", "snapshot", "targets", "stable"]))
    def show_old(self, then: dict[str, bytes], what: str) -> None:
        """An old file under the name of the current one."""
        name = "timestamp.json" if what == "timestamp" else f"{self.repo.signed(what).version}.{what}.json"
        old = [n for n in then if n.endswith(f"{what}.json")]
        self.lies[name] = then[max(old, key=lambda n: (len(n), n))]
        self.check()

    @rule(then=moments)
    def show_all_old(self, then: dict[str, bytes]) -> None:
        """A whole mirror that stopped then: what is newer is not there."""
        self.lies = {name: then.get(name) for name in self.repo.files}
        self.check()

    @rule(what=st.sampled_from(["root", "timestamp", "snapshot", "stable"]), cut=st.integers(0, 400))
    def damage(self, what: str, cut: int) -> None:
        name = "timestamp.json" if what == "timestamp" else f"{self.repo.signed(what).version}.{what}.json"
        self.lies[name] = self.repo.files[name][:cut]
        self.check()

    @rule()
    def hide_roots(self) -> None:
        for version in range(2, self.repo.root.version + 1):
            self.lies[f"{version}.root.json"] = None
        self.check()

    @rule(name=st.sampled_from(["snapshot.json", "targets.json", "stable.json", "roots/2.json"]))
    def lose_from_the_cache(self, name: str) -> None:
        """What the others make good: root.json and timestamp.json are the memory of what was newest."""
        self.cache.pop(name, None)

    @rule()
    def check(self) -> None:
        with suppress(Refused, Unreachable):
            self.accept()

    @rule()
    def honest_check(self) -> None:
        self.lies.clear()
        self.accept()
        assert self.accepted == self.count

    def accept(self) -> None:
        t = client.refresh(self.first, self.cache, self.fetch, self.now)
        assert t.root.version >= self.roots
        self.roots = t.root.version
        t, info = client.find(t, "stable/x", self.cache, self.fetch)
        assert info is not None
        value = int(client.target(t, info, self.repo.targets_fetch))
        assert self.accepted <= value <= self.count
        self.accepted = value

    def fetch(self, path: str, most: int) -> bytes | None:
        return self.lies[path] if path in self.lies else self.repo.fetch(path, most)

    @invariant()
    def nothing_is_unlearnt(self) -> None:
        assert self.accepted <= self.count


LifeTest = Life.TestCase
LifeTest.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
