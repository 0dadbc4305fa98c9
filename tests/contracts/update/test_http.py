"""The fetcher against servers over real sockets: every way a server can fail, and every block still right."""

from __future__ import annotations

import http.client
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import BadInput
from orlop.model.release.index import BLOCK
from orlop.net.errors import Absent, Lying, NetError, Unreachable
from orlop.node.update.blobs.fetch import LIES, TRIES, Blocks, Fetcher, Pace
from orlop.node.update.blobs.plan import BlockRun
from orlop.node.update.blobs.source import FolderSource, source
from simulators.httpd import Vices, WebServer, cuts, serve
from simulators.releases import part

RAW = random.Random(5).randbytes(300 * BLOCK + 1234)
PART = part(RAW)
PATHS = (PART.blob.path, "orlop_20261201.1.usr.raw")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "blobs").mkdir()
    (tmp_path / PART.blob.path).write_bytes(RAW)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[WebServer]:
    with serve(folder) as found:
        yield found


def fetcher(*urls: str, stall: float = 5.0) -> Fetcher:
    return Fetcher([source(url, stall=stall) for url in urls], sleep=lambda _: None)


def everything(found: Fetcher, *runs: BlockRun) -> bytes:
    """All that was fetched, in order; each piece checked to be what belongs there."""
    raw = b""
    for first, data in found.fetch(Blocks(PART, PATHS), runs or (BlockRun(0, PART.blocks),)):
        assert bytes(data) == RAW[first * BLOCK :][: len(data)]
        raw += data
    return raw


def test_a_good_server(server: WebServer) -> None:
    found = fetcher(server.url)
    assert everything(found) == RAW
    assert found.bytes_in == len(RAW)
    assert server.headers["Accept-Encoding"] == "identity"


def test_only_what_is_asked_for_travels_over_one_connection(server: WebServer) -> None:
    found = fetcher(server.url)
    raw = everything(found, BlockRun(3, 2), BlockRun(100, 1), BlockRun(300, 1))
    assert raw == RAW[3 * BLOCK : 5 * BLOCK] + RAW[100 * BLOCK : 101 * BLOCK] + RAW[300 * BLOCK :]
    assert found.bytes_in == len(raw)
    assert [r for _, r in server.asked] == ["bytes=12288-20479", "bytes=409600-413695", "bytes=1228800-1230033"]


@pytest.mark.parametrize("reset", [False, True])
def test_cut_fifty_times_it_goes_on_at_the_byte(server: WebServer, reset: bool) -> None:
    rng = random.Random(9)
    server.vices = Vices(cut_after=cuts(*(rng.randrange(1, 40_000) for _ in range(50))), reset=reset)
    found = fetcher(server.url)
    assert everything(found) == RAW
    assert len(server.asked) >= 51
    assert found.bytes_in == len(RAW)


def test_a_server_that_gives_a_byte_each_time_is_still_used(server: WebServer) -> None:
    server.vices = Vices(cut_after=itertools.repeat(1))
    assert everything(fetcher(server.url), BlockRun(300, 1)) == RAW[300 * BLOCK :]
    assert len(server.asked) == 1234


def test_a_server_that_promises_more_than_it_sends(server: WebServer) -> None:
    server.vices = Vices(promise=100_000)
    assert everything(fetcher(server.url, stall=1)) == RAW


def test_a_server_that_promises_less_than_it_has_never_gives_the_end(folder: Path, server: WebServer) -> None:
    server.vices = Vices(promise=-100_000)
    with pytest.raises(Unreachable, match="ended the transfer at byte 1130034"):
        everything(fetcher(server.url))
    with serve(folder) as good:
        assert everything(fetcher(server.url, good.url)) == RAW


def test_no_length_at_all(server: WebServer) -> None:
    server.vices = Vices(unchunked=True)
    assert everything(fetcher(server.url)) == RAW


def test_a_server_without_ranges_is_read_once_for_all_runs(server: WebServer) -> None:
    server.vices = Vices(ignore_range=True)
    found = fetcher(server.url)
    runs = (BlockRun(3, 2), BlockRun(100, 1), BlockRun(299, 1))
    assert len(everything(found, *runs)) == 4 * BLOCK
    assert len(server.asked) == 1


def test_a_server_without_ranges_that_breaks_off(server: WebServer) -> None:
    server.vices = Vices(ignore_range=True, cut_after=cuts(700_000, 900_000))
    assert everything(fetcher(server.url)) == RAW


def test_other_bytes_are_never_given_on(server: WebServer) -> None:
    server.vices = Vices(other_bytes=1.0)
    with pytest.raises(Lying, match="sends other bytes than the release promises"):
        everything(fetcher(server.url))
    assert len(server.asked) == LIES


def test_other_bytes_now_and_then_from_one_of_two(folder: Path, server: WebServer) -> None:
    server.vices = Vices(other_bytes=0.5)
    with serve(folder) as honest:
        assert everything(fetcher(server.url, honest.url)) == RAW


@pytest.mark.parametrize(
    ("vices", "error"),
    [
        (Vices(wrong_range=True), Lying),
        (Vices(encoding="gzip"), Lying),
        (Vices(status=503), Unreachable),
        (Vices(status=404), Absent),
        (Vices(status=416), Unreachable),
        (Vices(redirect="ftp://127.0.0.1/"), Lying),
        (Vices(stall_after=0), Unreachable),
        (Vices(cut_after=itertools.repeat(0)), Unreachable),
    ],
)
def test_what_cannot_be_used_is_said_in_the_end_and_another_server_helps(
    folder: Path, server: WebServer, vices: Vices, error: type[NetError]
) -> None:
    server.vices = vices
    with pytest.raises(NetError) as e:
        everything(fetcher(server.url, stall=0.3), BlockRun(2, 100))
    assert isinstance(e.value, error)
    with serve(folder) as good:
        assert len(everything(fetcher(server.url, good.url, stall=0.3), BlockRun(2, 100))) == 100 * BLOCK


def test_nobody_listens() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        everything(fetcher("http://127.0.0.1:1/"))


def test_redirects_are_followed_but_not_for_ever(folder: Path, server: WebServer) -> None:
    with serve(folder) as good:
        server.vices = Vices(redirect=good.url)
        assert everything(fetcher(server.url), BlockRun(0, 9)) == RAW[: 9 * BLOCK]
    server.vices = Vices(redirect=server.url)
    with pytest.raises(Lying, match="redirects more than 5 times"):
        everything(fetcher(server.url))


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(server: WebServer) -> None:
    found = source(server.url, stall=5)
    for _ in range(2):
        stream = found.open(PART.blob.path, 0, 10)
        assert stream.read_into(memoryview(bytearray(10))) == 10
        kept = found._client._kept  # type: ignore[attr-defined]
        assert isinstance(kept[1], http.client.HTTPConnection)
        connection: Any = kept[1]
        connection.sock._sock.shutdown(2)
    found.close()


def test_the_folder_of_an_image_is_a_source_too(tmp_path: Path) -> None:
    (tmp_path / PATHS[1]).write_bytes(RAW)
    assert everything(Fetcher([FolderSource(tmp_path)])) == RAW
    assert everything(fetcher(f"file://{tmp_path}")) == RAW
    with pytest.raises(Absent):
        everything(Fetcher([FolderSource(tmp_path / "blobs")], sleep=lambda _: None))


def test_through_a_proxy_with_a_password(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//user:p%40ss@"))
    monkeypatch.delenv("no_proxy", raising=False)
    assert everything(fetcher("http://releases.invalid/"), BlockRun(0, 3)) == RAW[: 3 * BLOCK]
    assert server.headers["Proxy-Authorization"] == "Basic dXNlcjpwQHNz"
    assert server.headers["Host"] == "releases.invalid"
    monkeypatch.setenv("no_proxy", "releases.invalid")
    with pytest.raises(Unreachable):
        everything(fetcher("http://releases.invalid/"), BlockRun(0, 3))


def test_no_more_than_so_many_bytes_a_second(server: WebServer) -> None:
    clock, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    slow = Fetcher([source(server.url)], pace=Pace(100_000, lambda: clock[0], sleep))
    assert everything(slow) == RAW
    assert clock[0] == pytest.approx(len(RAW) / 100_000, abs=1.1)


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "file://host/x"])
def test_what_is_no_source_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="nowhere to fetch from"):
        source(url)


def test_it_gives_up_only_after_all_were_asked_in_vain(server: WebServer) -> None:
    server.vices = Vices(status=500)
    with pytest.raises(Unreachable):
        everything(fetcher(server.url, server.url))
    assert len(server.asked) == 2 * TRIES
