"""What a machine's check costs against a real repository and a real web server: bytes on the wire, headers and all."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from orlop.built import BuiltImage
from orlop.model.release.rollout import PLANS
from orlop.publish.content import publish
from orlop.publish.content.publish import Publication
from orlop.publish.repository.repository import RepositoryState
from orlop.steps import Steps
from orlop.trust import releases
from orlop.trust.cache import FolderCache
from orlop.trust.http import fetcher
from simulators.httpd import WebServer, serve
from simulators.publisher import NOW, Publisher, make_image

LIMIT = 2048
MINUTE = timedelta(minutes=1)


def put(publisher: Publisher, state: RepositoryState, folder: Path, version: str, after: timedelta) -> RepositoryState:
    """A repository that has published this version too; with no patches, so that no zstd is needed."""
    built = BuiltImage.read(make_image(folder, version, changed=1))
    wish = Publication("stable", PLANS["default"][0], predecessors=0)
    repository = publisher.repository
    with tempfile.TemporaryDirectory(dir=folder) as work:
        args = (repository.storage, state, built, wish, Path(work), (), Steps(quiet=True))
        return repository.commit(state, publish.plan(*args, NOW + after).change, NOW + after)


def asked(server: WebServer) -> tuple[list[str], int]:
    """The paths asked for and the bytes sent since the last call."""
    found = [path for path, _ in server.asked], server.sent
    server.asked.clear()
    server.sent = 0
    return found


def test_a_check_when_nothing_changed_is_one_request_of_at_most_2_kb(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    state = publisher.create()
    for n in range(1, 21):
        state = put(publisher, state, tmp_path, f"20261201.{n}", n * MINUTE)
    cache = FolderCache(tmp_path / "machine")
    with serve(tmp_path / "repo") as server:
        fetch = fetcher(server.url)
        assert releases.check(publisher.given, cache, fetch, "stable", NOW + 30 * MINUTE).changed
        asked(server)
        found = releases.check(publisher.given, cache, fetch, "stable", NOW + 31 * MINUTE)
        paths, sent = asked(server)
        assert not found.changed
        assert len(found.channel.entries) == 20
        assert paths == ["metadata/timestamp.json"]
        assert (tmp_path / "repo" / paths[0]).stat().st_size < sent <= LIMIT
        state = put(publisher, state, tmp_path, "20261201.21", 32 * MINUTE)
        assert releases.check(publisher.given, cache, fetch, "stable", NOW + 33 * MINUTE).changed
        assert len(asked(server)[0]) > 1  # so the counting sees it when there is more
