"""Drop-ins for the units of containers that take long to stop."""

from __future__ import annotations

from pathlib import Path

from orlop.node.config.stops import give_time


def put(root: Path, name: str, text: str) -> None:
    path = root / "etc/containers/systemd" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def given(root: Path) -> dict[str, str]:
    folder = root / "etc/systemd/system"
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.conf")}


def test_without_quadlets_nothing_is_written(tmp_path: Path) -> None:
    assert give_time(tmp_path) == []
    assert given(tmp_path) == {}


def test_units_are_given_what_their_containers_ask_for(tmp_path: Path) -> None:
    put(tmp_path, "db.container", "[Container]\nStopTimeout=120\n")
    put(tmp_path, "quick.container", "[Container]\nStopTimeout=5\n")
    put(tmp_path, "sub/cache.container", "[Container]\nImage=x\n")
    put(tmp_path, "sub/cache.container.d/10-more.conf", "[Container]\nStopTimeout=60\n")
    put(tmp_path, "group.pod", "[Pod]\nStopTimeout=50\n")
    put(tmp_path, "t@.container", "[Container]\nStopTimeout=40\n")
    put(tmp_path, "other.container", "[Container]\nServiceName=named\nStopTimeout=100\n")
    put(tmp_path, "odd.container", "[Container]\nServiceName=../../x\nStopTimeout=100\n")
    put(tmp_path, "users/own.container", "[Container]\nStopTimeout=100\n")
    put(tmp_path, "broken.container", "\udcff".encode(errors="surrogateescape").decode(errors="replace"))
    assert give_time(tmp_path) == []
    expected = {"db": 130, "cache": 70, "group-pod": 60, "t@": 50, "named": 110}
    assert given(tmp_path) == {
        f"{name}.service.d/10-orlop-stop.conf": f"[Service]\nTimeoutStopSec={seconds}\n"
        for name, seconds in expected.items()
    }


def test_more_than_a_machine_waits_for_is_cut_and_said(tmp_path: Path) -> None:
    put(tmp_path, "db.container", "[Container]\nStopTimeout=7200\n")
    assert give_time(tmp_path) == ["db.service is given 900 s to stop, the most there is"]
    assert "TimeoutStopSec=900" in given(tmp_path)["db.service.d/10-orlop-stop.conf"]
