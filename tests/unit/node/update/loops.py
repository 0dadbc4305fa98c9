"""The daemon around an engine on a simulated machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orlop.errors import Missing
from orlop.model.update.decide import Settings
from orlop.model.update.reboot import Immediate, Off
from orlop.model.update.state import Target
from orlop.model.words.version import Version
from orlop.node.update import requests
from orlop.node.update.host import Host
from orlop.node.update.loop import Loop, Pending
from orlop.node.update.outside import Situation
from orlop.node.update.requests import Named
from orlop.node.update.settings import UpdateSettings
from simulators.releases import Release, release
from simulators.world import World

V1, V2, V3 = (Version.parse(f"2026120{n}.1") for n in (1, 2, 3))
FIRST = release(str(V1), blocks=64)
SECOND = release(str(V2), blocks=64, like=FIRST)


@dataclass
class Place:
    """Where releases are asked for by name: the world's."""

    world: World
    asked: list[tuple[Version | None, str, bool]] = field(default_factory=list)
    said: str = ""

    def named(
        self, version: Version | None, _situation: Situation, place: str = "", *, unsigned_too: bool = False
    ) -> Target:
        self.asked.append((version, place, unsigned_too))
        found = self.world.releases.get(version) if version else None
        if found is None:
            raise Missing(f"there is no {version}", hint="look again")
        return found.target

    def taken(self) -> None: ...

    def where(self) -> str:
        return self.asked[-1][1] if self.asked else ""

    def reason(self) -> str:
        return self.said


class Machine:
    """A world whose engine the daemon drives; `told` are the lines for systemd, `log` those for the journal."""

    def __init__(self, folder: Path, *, strategy: Off | Immediate | None = None, first: Release = FIRST) -> None:
        self.settings = UpdateSettings(engine=Settings(strategy=strategy or Immediate()))
        self.world = World(folder / "state", first, settings=self.settings.engine)
        self.top = folder / "host"
        self.place = Place(self.world)
        self.told: list[str] = []
        self.goodbyes: list[tuple[float, str, bool]] = []
        self.log: list[str] = []
        self.daemon = self.start()

    def start(self, offers: Named | None = None) -> Loop:
        return Loop(
            self.world.start_engine, offers or self.place, self.settings, Host(self.top),
            say=self.log.append, tell=self.told.append, wait=self.goodbye,
        )  # fmt: skip

    def goodbye(self, seconds: float) -> None:
        """How long is waited before a reboot, what the API says meanwhile, and whether it was asked for already."""
        self.goodbyes.append((seconds, self.daemon.document()["state"]["is"], self.asked_to_reboot))

    @property
    def asked_to_reboot(self) -> bool:
        return (self.top / "run/orlop/update/reboot").exists()

    def turns(self, count: int = 40) -> float:
        """So many turns of the loop, or until it has nothing to do; how long for."""
        pause = 0.0
        for _ in range(count):
            pause = self.daemon.turn()
            if pause:
                break
        return pause

    def ask(self, name: str, **values: Any) -> dict[str, Any]:
        """As a thread of the API does it, with the loop turning meanwhile."""
        change = Pending(requests.parse(name, values))
        self.daemon._changes.put(change)
        while not change.done.done():
            self.daemon.turn()
        return change.done.result()

    def publish(self, found: Release) -> None:
        self.world.releases[found.version] = found
        self.world.healthy.add(found.version)
