from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.publish.serve import byte_range, server

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, int]]:
    (tmp_path / "repo/blobs").mkdir(parents=True)
    (tmp_path / "repo/metadata").mkdir()
    (tmp_path / "repo/blobs/b").write_bytes(CONTENT)
    (tmp_path / "repo/metadata/timestamp.json").write_bytes(b"{}")
    (tmp_path / "repo/secret").write_bytes(b"no")
    (tmp_path / "repo/blobs/.making-x").write_bytes(b"no")
    (tmp_path / "secret").write_bytes(b"no")
    (tmp_path / "repo/blobs/link").symlink_to(tmp_path / "secret")
    made = server(tmp_path / "repo", "127.0.0.1", 0)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield "127.0.0.1", made.server_address[1]
    made.shutdown()
    made.server_close()
    thread.join()


def ask(
    address: tuple[str, int], path: str, wanted: str = "", method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request(method, path, headers={"Range": wanted} if wanted else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


@pytest.mark.parametrize(
    ("wanted", "status", "body", "header"),
    [
        ("", 200, CONTENT, None),
        ("bytes=0-9", 206, CONTENT[:10], "bytes 0-9/5120"),
        ("bytes=5000-", 206, CONTENT[5000:], "bytes 5000-5119/5120"),
        ("bytes=-7", 206, CONTENT[-7:], "bytes 5113-5119/5120"),
        ("bytes=5119-99999", 206, CONTENT[-1:], "bytes 5119-5119/5120"),
        ("bytes=5120-", 416, b"", "bytes */5120"),
        ("bytes=-0", 416, b"", "bytes */5120"),
        ("bytes=9-2", 200, CONTENT, None),
        ("bytes=0-1,3-4", 200, CONTENT, None),
        ("lines=0-1", 200, CONTENT, None),
    ],
)
def test_ranges(address: tuple[str, int], wanted: str, status: int, body: bytes, header: str | None) -> None:
    answer, found = ask(address, "/blobs/b", wanted)
    assert (answer.status, found, answer.headers.get("Content-Range")) == (status, body, header)


def test_what_changes_is_not_to_be_kept(address: tuple[str, int]) -> None:
    assert ask(address, "/metadata/timestamp.json")[0].headers["Cache-Control"] == "no-cache"
    assert "immutable" in ask(address, "/blobs/b", method="HEAD")[0].headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    ["/", "/secret", "/blobs", "/blobs/", "/blobs/none", "/blobs/../secret", "/blobs/%2e%2e/secret", "/blobs/.making-x",
     "/blobs/link", "//secret", "/blobs/b/x", "/blobs/%00", "/../secret"],
)  # fmt: skip
def test_nothing_else_is_served(address: tuple[str, int], path: str) -> None:
    assert ask(address, path)[0].status == 404


@given(st.integers(0, 100), st.integers(0, 120) | st.none(), st.integers(0, 120) | st.none())
def test_a_range_lies_within_the_file(size: int, first: int | None, last: int | None) -> None:
    found = byte_range(f"bytes={'' if first is None else first}-{'' if last is None else last}", size)
    if found is not None and found[0] < found[1]:
        assert 0 <= found[0] < found[1] <= size


@given(st.text(max_size=30))
def test_any_header_is_answered(header: str) -> None:
    byte_range(header, 100)
