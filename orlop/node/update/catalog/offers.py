"""Where versions come from: the repository this machine follows, or the place that somebody named.

What was named by hand is remembered in the state folder, so that a daemon that starts anew goes on with it; it is
forgotten when the next thing is asked for. Invariant: a version that was taken up under one name is never filled with
blocks of another place that do not match its index: an index is found by the target's root hash.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from orlop.errors import BadInput, OrlopError
from orlop.model.release.index import Index
from orlop.model.release.policy import Go
from orlop.model.update.state import Target
from orlop.model.words.address import place_problem
from orlop.model.words.version import Version
from orlop.net.route import public
from orlop.node.update.blobs.fetch import Fetcher, Pace
from orlop.node.update.catalog import unsigned
from orlop.node.update.catalog.catalog import FollowedRepository
from orlop.node.update.catalog.unsigned import Choice, UnsignedFolder
from orlop.node.update.outside import Catalog, Situation

HINT = "use http://…, https://…, file:///folder or the path of a folder"


class Offers:
    """A `Catalog`. `repository` is what this machine follows; one at another address has the same keys.

    What `named` finds is kept for `taken`: only then is it what this machine goes on with.
    """

    def __init__(self, repository: FollowedRepository, folder: Path, pace: Pace | None = None) -> None:
        self.repository, self._folder, self._pace = repository, folder, pace
        self._named: tuple[Choice, Catalog] | None = None
        self._asked: tuple[Choice, Catalog] | None = None
        self._recall()

    def _recall(self) -> None:
        try:
            choice = unsigned.recall(self._folder)
            self._named = (choice, self._catalog(choice)) if choice else None
        except OrlopError:  # damaged: the target will be asked for at the repository, which refuses or knows it
            with suppress(OrlopError):
                unsigned.forget(self._folder)

    def _catalog(self, choice: Choice) -> Catalog:
        if choice.unsigned:
            return UnsignedFolder(choice.url, pace=self._pace)
        return self.repository.at(choice.url) if choice.url else self.repository

    def offer(self, situation: Situation) -> Target | None:
        return self.repository.offer(situation)

    def index(self, target: Target, situation: Situation) -> Index:
        return self._of(target).index(target, situation)

    def fetcher(self, target: Target) -> Fetcher:
        return self._of(target).fetcher(target)

    def _of(self, target: Target) -> Catalog:
        if target.why == "named" and self._named and self._named[0].version == target.version:
            return self._named[1]
        return self.repository

    def named(
        self, version: Version | None, situation: Situation, place: str = "", *, unsigned_too: bool = False
    ) -> Target:
        """The version that was asked for, at `place` or where this machine gets its own. Raises OrlopError."""
        if why := place_problem(place):
            raise BadInput(f"{public(place)!r} is nowhere to fetch from: {why}", hint=HINT)
        catalog: Catalog
        if unsigned_too:
            if not place:
                raise BadInput("what is unsigned is taken from a place that is named alone", hint="add --from")
            folder = UnsignedFolder(place, pace=self._pace)
            catalog, target = folder, folder.named(version)
        elif version is None:
            raise BadInput(f"{public(place)} may have many versions", hint="name one: --to VERSION")
        else:
            repository = self.repository.at(place) if place else self.repository
            catalog, target = repository, repository.named(version, situation)
        self._asked = (Choice(place, target.version, unsigned_too), catalog)
        return target

    def taken(self) -> None:
        """The machine goes to what was named last: remember from where. Raises NoSpace, DiskFault."""
        assert self._asked is not None
        self._named = self._asked
        choice, _ = self._named
        if choice.url:
            unsigned.remember(self._folder, choice)
        else:
            unsigned.forget(self._folder)

    def where(self) -> str:
        """The address that was named last, without login; empty when none was."""
        return public(self._named[0].url) if self._named else ""

    def reason(self) -> str:
        """Why the repository offers nothing now, in its policy's words; empty when it does, or was not asked yet."""
        answer = self.repository.answer
        if answer is None:
            return self.repository.lacks()
        return "" if isinstance(answer, Go) else answer.reason
