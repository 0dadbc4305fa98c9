"""The conformance suite's command line, spoken to as the suite does it: separate processes, a web server, a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.repository import RepositorySimulator
from simulators.webserver import serving

CLIENT = Path(__file__).with_name("conformance_client.py")


class Client:
    def __init__(self, folder: Path, url: str) -> None:
        self.metadata, self.targets, self.url = folder / "metadata", folder / "targets", url
        self.metadata.mkdir()
        self.targets.mkdir()

    def run(self, *args: str | Path) -> int:
        done = subprocess.run(
            [sys.executable, CLIENT, "--metadata-dir", self.metadata, *args],
            check=False,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode

    def init(self, root: bytes) -> int:
        path = self.metadata.parent / "initial.json"
        path.write_bytes(root)
        return self.run("init", path)

    def refresh(self) -> int:
        return self.run("--metadata-url", f"{self.url}metadata", "refresh")

    def download(self, name: str) -> int:
        return self.run(
            *("--metadata-url", f"{self.url}metadata", "--target-name", name, "--target-dir", self.targets),
            *("--target-base-url", f"{self.url}targets", "download"),
        )

    def trusted(self) -> list[tuple[str, int]]:
        files = sorted(self.metadata.glob("*.json"))
        return [(f.stem, json.loads(f.read_bytes())["signed"]["version"]) for f in files]


@pytest.fixture
def repo() -> RepositorySimulator:
    made = RepositorySimulator()
    for role in ("root", "targets", "stable", "snapshot", "timestamp"):
        made.signed(role).expires = made.signed(role).expires.replace(year=2999)
    made.add_target("stable", "stable/x", b"first")
    made.publish("root", "targets", "stable", "snapshot", "timestamp")
    return made


def served(repo: RepositorySimulator, path: str) -> bytes | None:
    return repo.fetch(path.removeprefix("metadata/"), 1 << 30)


def test_init_refresh_download(repo: RepositorySimulator, tmp_path: Path) -> None:
    with serving(lambda path: served(repo, path)) as url:
        client = Client(tmp_path, url)
        assert client.init(repo.first_root) == 0
        assert client.trusted() == [("root", 1)]
        assert repo.asked() == []
        assert client.refresh() == 0
        assert repo.asked() == ["2.root.json", "3.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"]
        assert client.trusted() == [("root", 2), ("snapshot", 2), ("targets", 2), ("timestamp", 2)]
        assert client.download("stable/x") == 0
        assert repo.asked()[:-1] == ["3.root.json", "timestamp.json", "2.stable.json"]
        assert [f.read_bytes() for f in client.targets.iterdir()] == [b"first"]
        assert client.download("stable/x") == 0
        assert repo.asked() == ["3.root.json", "timestamp.json"]  # not downloaded again
        repo.add_target("stable", "stable/x", b"second")
        repo.publish("stable", "snapshot", "timestamp")
        assert client.download("stable/x") == 0
        assert [f.read_bytes() for f in client.targets.iterdir()] == [b"second"]


def test_failures_are_exit_status_1(repo: RepositorySimulator, tmp_path: Path) -> None:
    with serving(lambda path: served(repo, path)) as url:
        client = Client(tmp_path, url)
        assert client.init(repo.first_root) == 0
        assert client.download("nothing like it") == 1
        assert client.trusted()[0] == ("root", 2)
        repo.signers["timestamp"] = repo.signers["stable"]
        repo.publish("timestamp")
        assert client.refresh() == 1
        assert ("timestamp", 2) in client.trusted()


def test_cached_role_is_verified_against_current_delegator(repo: RepositorySimulator, tmp_path: Path) -> None:
    with serving(lambda path: served(repo, path)) as url:
        client = Client(tmp_path, url)
        client.init(repo.first_root)
        assert client.download("stable/x") == 0
        repo.rotate("stable", delegator="targets")
        repo.publish("targets", "snapshot", "timestamp")
        assert client.download("stable/x") == 1
        repo.publish("stable", "snapshot", "timestamp")
        assert client.download("stable/x") == 0


def test_an_unsigned_root_is_refused_before_anything_is_asked(repo: RepositorySimulator, tmp_path: Path) -> None:
    with serving(lambda path: served(repo, path)) as url:
        client = Client(tmp_path, url)
        client.init(repo.first_root.replace(b'"version":1', b'"version":7'))
        assert client.refresh() == 1
        assert repo.asked() == []
