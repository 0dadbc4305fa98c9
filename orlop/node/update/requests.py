"""What people ask of the engine: one type a request, read strictly where it comes in, and done by the loop.

    update      go to a version, or to what is offered       RequestUpdate
    rollback    back to the other version                    RequestRollback
    hold        no update by itself                          RequestHold
    unhold                                                   RequestUnhold
    allow       take a version off the deny list             RequestAllow

Invariant: a request that cannot be read changes nothing, and so does one that is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from orlop.errors import Missing
from orlop.model.update.memory import BY_HAND, NOW
from orlop.model.words.address import MAX_URL
from orlop.model.words.line import MOST
from orlop.model.words.strict import Fields
from orlop.model.words.version import Version
from orlop.net.route import public

if TYPE_CHECKING:  # who asks, on the command line, needs none of it
    from orlop.model.update.state import Target
    from orlop.node.update.engine import Engine
    from orlop.node.update.outside import Situation


@dataclass(frozen=True)
class RequestUpdate:
    """To `version`, None for what is offered; from `place`, empty for where this machine gets its own."""

    version: Version | None = None
    place: str = ""
    allow_unsigned: bool = False
    reboot: bool = True

    def __str__(self) -> str:
        to = f" to {self.version}" if self.version else ""
        return f"update{to}{f' from {public(self.place)}' if self.place else ''}"


@dataclass(frozen=True)
class RequestRollback:
    def __str__(self) -> str:
        return "roll back"


@dataclass(frozen=True)
class RequestHold:
    reason: str = ""

    def __str__(self) -> str:
        return "hold updates"


@dataclass(frozen=True)
class RequestUnhold:
    def __str__(self) -> str:
        return "hold updates no longer"


@dataclass(frozen=True)
class RequestAllow:
    version: Version

    def __str__(self) -> str:
        return f"allow {self.version}"


Asked = RequestUpdate | RequestRollback | RequestHold | RequestUnhold | RequestAllow
Answer = dict[str, Any]


class Named(Protocol):
    """Versions that people ask for, and what is said of those that they do not (`orlop.node.update.catalog.offers`)."""

    def named(
        self, version: Version | None, situation: Situation, place: str = "", *, unsigned_too: bool = False
    ) -> Target: ...

    def taken(self) -> None: ...

    def where(self) -> str: ...

    def reason(self) -> str: ...


def parse(name: str, values: Mapping[str, Any]) -> Asked:
    """The request of this name. Raises Missing for a name that is not a request, BadInput."""
    if name not in _READERS:
        raise Missing(f"nothing is called {name!r} here", hint=f"use {', '.join(_READERS)}")
    return _READERS[name](Fields.of("", values))


def _update(values: Fields) -> RequestUpdate:
    values.only("to", "from", "allow_unsigned", "reboot")
    return RequestUpdate(
        version=values.version("to") if values.has("to") else None,
        place=values.line("from", MAX_URL, empty=True) if values.has("from") else "",
        allow_unsigned=values.value("allow_unsigned", bool, False),
        reboot=values.value("reboot", bool, True),
    )


def _rollback(values: Fields) -> RequestRollback:
    values.only()
    return RequestRollback()


def _hold(values: Fields) -> RequestHold:
    values.only("reason")
    return RequestHold(values.line("reason", MOST, empty=True) if values.has("reason") else "")


def _unhold(values: Fields) -> RequestUnhold:
    values.only()
    return RequestUnhold()


def _allow(values: Fields) -> RequestAllow:
    values.only("version")
    return RequestAllow(Version.parse(values.value("version", str)))


_READERS: dict[str, Callable[[Fields], Asked]] = {
    "update": _update,
    "rollback": _rollback,
    "hold": _hold,
    "unhold": _unhold,
    "allow": _allow,
}


def do(asked: Asked, engine: Engine, offers: Named) -> Answer:
    """Have the engine take it; what came of it, with a `message`. Raises OrlopError."""
    match asked:
        case RequestUpdate():
            return _go(asked, engine, offers)
        case RequestRollback():
            engine.roll_back()
            return {"message": "the machine reboots into the other version"}
        case RequestHold(reason):
            engine.hold(reason)
            return {"message": f"updates are held: {engine.memory.hold}"}
        case RequestUnhold():
            engine.unhold()
            return {"message": "updates are not held"}
        case RequestAllow(version):
            engine.allow(version)
            return {"message": f"{version} is allowed again"}
        case _:
            assert_never(asked)


def _go(asked: RequestUpdate, engine: Engine, offers: Named) -> Answer:
    reboot = NOW if asked.reboot else BY_HAND
    target: Target | None
    if asked.place or asked.version:
        target = offers.named(asked.version, engine.situation(), asked.place, unsigned_too=asked.allow_unsigned)
        goes = engine.go_to(target, reboot)
        offers.taken()
        if not goes:
            return {"message": f"{target.version} follows when the version on trial is judged", "version": None}
    else:
        target = engine.look(reboot)
    if target is None:
        return {"message": offers.reason() or "nothing to update to", "version": None}
    return {"message": f"going to {target.version}", "version": str(target.version)}
