"""An image from a folder or a server without metadata: nobody vouches for it. For development alone.

It is what `orlop image build` leaves: `orlop_<version>.index.json` and the artifacts beside it. Somebody asks for it by
hand (`orlop node update --from … --allow-unsigned`), and is remembered to have asked, so that a daemon which starts
anew goes on with it. A machine never looks here by itself.

Invariant: what is remembered names one version; whatever else comes to be in the folder is not taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput, Missing
from orlop.files import write_atomic
from orlop.model.release.index import INDEX_SUFFIX, MAX_INDEX, Index, decode, index_name, indexed
from orlop.model.update.state import Target
from orlop.model.words.address import MAX_URL
from orlop.model.words.strict import Fields, Wrong, parse_json
from orlop.model.words.version import Version
from orlop.net.route import public
from orlop.node.update.blobs.fetch import Fetcher, Pace
from orlop.node.update.blobs.source import source
from orlop.node.update.outside import Situation
from orlop.node.update.slot.device import faults
from orlop.trust import http
from orlop.trust.client import MetadataFetch

NAME = "from.json"


@dataclass(frozen=True)
class Choice:
    """`url` is a folder, file:///…, http://… or https://…; `unsigned` that it was said to be taken unsigned."""

    url: str
    version: Version
    unsigned: bool


def remember(folder: Path, choice: Choice) -> None:
    """Keep the choice in the daemon's state folder. Raises NoSpace, DiskFault."""
    about = {"url": choice.url, "version": str(choice.version), "unsigned": choice.unsigned}
    with faults(folder / NAME):
        write_atomic(folder / NAME, json.dumps(about) + "\n", mode=0o600)


def recall(folder: Path) -> Choice | None:
    """The choice that was kept; None when there is none. Raises BadInput when it is damaged, DiskFault."""
    path = folder / NAME
    with faults(path):
        try:
            with path.open("rb") as f:
                raw = f.read(MAX_URL * 8)
        except FileNotFoundError:
            return None
    try:
        top = Fields.of("", parse_json(raw, MAX_URL * 8 - 1))
        top.only("url", "version", "unsigned")
        return Choice(top.text("url", MAX_URL), top.version("version"), top.value("unsigned", bool))
    except Wrong as e:
        raise BadInput(f"{path} is damaged: {e.message}", hint="ask for the update again, or remove the file") from None


def forget(folder: Path) -> None:
    """Raises DiskFault."""
    with faults(folder / NAME):
        (folder / NAME).unlink(missing_ok=True)


class UnsignedFolder:
    """A `Catalog` (orlop.node.update.outside) that offers nothing by itself. Raises BadInput for no address."""

    def __init__(
        self, url: str, *, pace: Pace | None = None, fetch: Callable[[str], MetadataFetch] | None = None
    ) -> None:
        self.url, self._pace = url, pace or Pace(None)
        self._fetch = fetch(url) if fetch else http.fetcher(url, alive=self._pace.alive)

    def offer(self, _situation: Situation) -> Target | None:
        return None

    def named(self, version: Version | None = None) -> Target:
        """The version, or of a folder the newest that is in it. Raises OrlopError."""
        index = self._read(version or self._newest())
        return Target(index.version, index.root_hash, "named")

    def index(self, target: Target, _situation: Situation) -> Index:
        return self._read(target.version)

    def fetcher(self, target: Target) -> Fetcher:  # noqa: ARG002
        return Fetcher([source(self.url, alive=self._pace.alive)], pace=self._pace)

    def _newest(self) -> Version:
        if not isinstance(self._fetch, http.FolderFetch):
            raise BadInput(
                f"a web server does not say which versions {public(self.url)} has",
                hint="name one: orlop node update --from URL --to VERSION",
            )
        folder = self._fetch.folder
        try:
            versions = [v for path in folder.iterdir() if (v := indexed(path.name))]
        except OSError as e:
            raise Missing(f"{folder} cannot be read: {e.strerror}", hint="name a folder of this machine") from None
        if not versions:
            raise Missing(f"{folder} has no image: no orlop_VERSION{INDEX_SUFFIX}", hint="orlop image build makes one")
        return max(versions)

    def _read(self, version: Version) -> Index:
        name = index_name(version)
        raw = self._fetch(name, MAX_INDEX)
        if raw is None:
            raise Missing(f"{public(self.url)} has no {name}", hint="it must lie beside the image's artifacts")
        index = decode(raw)
        if index.version != version:
            raise BadInput(f"{name} is the index of {index.version}", hint="build the image again")
        return index
