"""Start `orlop-agent`. What is wrong with the settings stays so until the next boot: it is said, and that is all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from orlop.cluster.settings import load
from orlop.errors import Missing, OrlopError
from orlop.model.cluster.names import AGENT_RUN, AGENT_STATE, AGENT_STATUS, LOCK_SOCKET, SERVER_TOKEN, TOKEN_PLACE
from orlop.node.agent.control import ControlClient
from orlop.node.agent.facts import MachineFacts
from orlop.node.agent.keys import MachineKeys
from orlop.node.agent.lock import LockServer
from orlop.node.agent.loop import AgentLoop, AgentOutside
from orlop.node.agent.units.bus import UnitBus
from orlop.node.agent.units.host import UnitHost
from orlop.node.agent.units.kept import KeptWork
from orlop.node.agent.units.worker import UnitsOutside, UnitsWorker, offer

NO_TOKEN = "none"  # noqa: S105  what the unit hands over when the configuration has no token


def token() -> str:
    """A worker's from its configuration; a server's from its own control plane. Raises Missing."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    handed = Path(folder) / Path(TOKEN_PLACE).name
    places = [handed, Path(SERVER_TOKEN)] if folder else [Path(SERVER_TOKEN)]
    for place in places:
        try:
            text = place.read_text().strip()
        except OSError:
            continue
        if text != NO_TOKEN:
            return text
    raise Missing("there is no token to join with yet", hint="a server's is made by its control plane")


def main() -> int:
    try:
        settings = load()
        facts = MachineFacts()
        outside = AgentOutside(facts, MachineKeys(Path(AGENT_STATE)), Path(AGENT_STATUS), token)

        def units(machine: str, client: Callable[[], ControlClient]) -> UnitsWorker:
            kept = KeptWork(Path(AGENT_STATE), Path(AGENT_RUN))
            given = partial(offer, settings.metadata, settings.resources)
            return UnitsWorker(
                UnitsOutside(machine, client, kept, UnitHost(), given, UnitBus, outside.say, random=outside.random)
            )

        loop = AgentLoop(outside, settings.name, settings.servers, settings.reboot_group, units)
        LockServer(loop.lock, Path(LOCK_SOCKET)).start()
        loop.run()
    except OrlopError as e:
        print(f"this machine takes no part in its cluster: {e.message} ({e.hint})", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
