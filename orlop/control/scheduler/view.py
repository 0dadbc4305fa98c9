"""What a server that need not lead knows of units: it follows what is written, and answers questions.

Lifetime: the server's. It costs nothing until it is asked; then it catches up with what has come since.
"""

from __future__ import annotations

from orlop.control.hub import Hub, Listener, Resync, Told
from orlop.model.cluster.names import LEADER
from orlop.model.fleet.picture import FleetPicture


class FleetView:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._picture = FleetPicture(mirrors=True)
        self._listener: Listener | None = None

    @property
    def picture(self) -> FleetPicture:
        """As of what the hub has seen."""
        if self._listener is None or self._listener.overrun:
            self._begin()
        assert self._listener is not None
        while (word := self._listener.take()) is not None:
            if isinstance(word, Resync):
                self._picture = FleetPicture(mirrors=True)
                for entry in word.entries:
                    self._picture.tell(entry.key, entry.value)
            elif isinstance(word, Told):
                self._picture.tell(word.change.key, word.change.entry.value if word.change.entry else None)
        return self._picture

    def _begin(self) -> None:
        if self._listener is not None:
            self._hub.forget(self._listener)
        self._listener = self._hub.follow(LEADER.__ne__)
