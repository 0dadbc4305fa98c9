"""Contents from elsewhere: kept by hash, put into place, never whole in memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from orlop.node.config.contents import MARK, SMALL, Contents, FileStream, inside, name, streamed
from orlop.node.config.failure import StageFailed
from orlop.node.config.rendering import Rendering, ResourceView

LARGE = b"0123456789abcdef" * (SMALL // 16 + 1)


def remote(url: str, content: bytes | None = None, kind: str = "sha256") -> ResourceView:
    pinned = {"hash": f"{kind}-{hashlib.new(kind, content).hexdigest()}"} if content is not None else {}
    return ResourceView({"source": url, "verification": pinned})


def config(*files: dict[str, Any], **storage: Any) -> Rendering:
    return Rendering({"ignition": {}, "storage": {"files": list(files), **storage}})


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    (tmp_path / "contents").mkdir()
    return Contents(tmp_path / "contents")


def fetched(contents: Contents, resource: ResourceView, content: bytes) -> None:
    file = contents.folder.parent / "fetched"
    file.write_bytes(content)
    contents.take(resource, file)


@pytest.mark.parametrize("kind", ["sha256", "sha512"])
def test_what_a_hash_pins_is_fetched_once(contents: Contents, kind: str) -> None:
    pinned, loose = remote("http://x/a", LARGE, kind), remote("http://x/b")
    given = config({"path": "/a", "contents": pinned.raw}, {"path": "/b", "contents": loose.raw})
    assert contents.wanted(given) == [pinned, loose]
    fetched(contents, pinned, LARGE)
    fetched(contents, loose, b"b")
    assert contents.wanted(given) == [loose]
    assert contents.size(given) == len(LARGE) + 1

    contents.path(pinned).write_bytes(LARGE[:-1] + b"x")
    assert contents.wanted(given) == [pinned, loose], "what is not what its hash says is fetched again"


def test_small_contents_and_keys_are_inside_and_large_ones_are_marked(contents: Contents) -> None:
    large, small, key = remote("http://x/large"), remote("http://x/small"), remote("http://x/key")
    given = config(
        {"path": "/opt/large", "contents": large.raw, "append": [{**small.raw}]},
        {"path": "/etc/small", "contents": small.raw},
        luks=[{"name": "x", "keyFile": key.raw}],
    )
    for resource, content in ((large, LARGE), (small, b"small"), (key, LARGE)):
        fetched(contents, resource, content)
    placed = contents.placed(given)
    files, streamed_files = placed.raw["storage"]["files"], streamed(placed)[0].raw["storage"]["files"]
    assert files[0]["contents"] == {"source": MARK + name(large)}
    assert files[1]["contents"] == {"source": "data:;base64,c21hbGw="}
    assert placed.storage.volumes[0].key_file.url.startswith("data:;base64,")

    streams = streamed(placed)[1]
    assert streamed_files[0] == {"path": "/opt/large", "contents": {"source": "data:,"}, "append": []}
    assert streamed_files[1] == files[1]
    assert [(stream.path, stream.appends, len(stream.parts)) for stream in streams] == [("/opt/large", False, 2)]

    contents.forget_others(placed)
    assert [path.name for path in contents.folder.iterdir()] == [name(large)]


def test_a_file_keeps_its_mode_and_gets_all_its_parts(contents: Contents, tmp_path: Path) -> None:
    large = remote("http://x/large")
    fetched(contents, large, LARGE)
    mark, end = ResourceView({"source": MARK + name(large)}), ResourceView({"source": "data:,%20end"})
    made = tmp_path / "root/opt/large"
    made.parent.mkdir(parents=True)
    made.touch(mode=0o750)
    contents.write(tmp_path / "root", [FileStream("/opt/large", (mark, end), appends=False)])
    assert made.read_bytes() == LARGE + b" end"
    assert made.stat().st_mode & 0o777 == 0o750
    contents.write(
        tmp_path / "root", [FileStream("/opt/large", (ResourceView({"source": "data:;base64,IQ=="}),), appends=True)]
    )
    assert made.read_bytes() == LARGE + b" end!"


def test_what_is_large_is_never_whole_in_memory(contents: Contents, tmp_path: Path) -> None:
    size = 64 << 20
    pinned = remote("http://x/large", b"\0" * size)
    with contents.path(pinned).open("wb") as f:
        f.truncate(size)
    tracemalloc.start()
    try:
        placed = contents.placed(config({"path": "/large", "contents": pinned.raw}))
        assert contents.wanted(config({"path": "/large", "contents": pinned.raw})) == []
        contents.write(tmp_path, streamed(placed)[1])
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert (tmp_path / "large").stat().st_size == size


def test_what_is_kept_no_more_stops_the_stage_with_words(contents: Contents, tmp_path: Path) -> None:
    stream = FileStream("/large", (ResourceView({"source": MARK + "0" * 64}),), appends=False)
    with pytest.raises(StageFailed, match="/large cannot be written: No such file"):
        contents.write(tmp_path, [stream])


def test_links_lead_to_places_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "var/opt").mkdir(parents=True)
    (tmp_path / "opt").symlink_to("/var/opt")
    (tmp_path / "var/opt/up").symlink_to("../../..")
    assert inside(tmp_path, "/opt/bin/k3s") == tmp_path / "var/opt/bin/k3s"
    assert inside(tmp_path, "/opt/up/etc") == tmp_path / "etc"
    (tmp_path / "loop").symlink_to("/loop")
    with pytest.raises(OSError, match="too many links"):
        inside(tmp_path, "/loop/x")
