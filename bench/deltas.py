"""What a machine downloads for a real release, and how long publishing one takes: `python -m bench.deltas`.

The images of `bench.delta_images` are published one after the other by the release tool's own code. After each, a
machine that runs `base` checks, takes the index and applies it, over HTTP, with the machine's own code. Its server
counts what it sends. Each release is applied twice: with patches, and with nothing but blocks it has already.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.delta_images import NAMES, images
from bench.update_apply import ApplyStage, run_apply
from orlop.built import BuiltImage
from orlop.image.index import write_index
from orlop.image.seal import Sealed
from orlop.model.release.policy import Go
from orlop.model.release.rollout import PLANS
from orlop.publish.content import publish
from orlop.publish.content.publish import Publication
from orlop.sdk.run import in_sdk
from orlop.steps import Steps
from orlop.trust import releases
from orlop.trust.cache import FolderCache
from orlop.trust.http import fetcher
from orlop.workspace import Workspace
from simulators.httpd import WebServer, serve
from simulators.publisher import NOW, Publisher

LIMITS = {"patch": 6_000_000, "all": 60_000_000}  # bytes a machine may download
PUBLISH_SECONDS = 60.0
CHECK_BYTES = 2048
CHANNEL = "stable"


class DeltasBench:
    """A repository in `top`, and a machine that runs `base`."""

    def __init__(self, ws: Workspace, steps: Steps, top: Path) -> None:
        self.ws, self.steps, self.top = ws, steps, top
        self.folders = images(ws, steps)
        self.publisher = Publisher(top / "release")
        self.state = self.publisher.create()
        self.now = NOW
        self.stage = ApplyStage(ws, top, self.folders["base"])
        self.cache = FolderCache(top / "machine")

    def publish(self, name: str) -> dict[str, float]:
        """Seconds and bytes of patches, as `orlop release publish` does it; what it stores is not timed to the disk."""
        work = self.top / "patches"
        work.mkdir(exist_ok=True)
        self.now += timedelta(minutes=1)
        start = time.perf_counter()
        built = BuiltImage.read(self.folders[name])
        repository = self.publisher.repository
        zstd = in_sdk(self.ws, ["zstd"], binds=[work])
        wish = Publication(CHANNEL, PLANS["default"][0])
        plan = publish.plan(repository.storage, self.state, built, wish, work, zstd, self.steps, self.now)
        self.state = repository.commit(self.state, plan.change, self.now)
        return {
            "seconds": time.perf_counter() - start,
            "packages": len(plan.packages),
            "bases": len({patch.base for patch in plan.index.patches}),
            "patches": sum(patch.blob.size for patch in plan.index.patches),
        }

    def check(self, server: WebServer) -> tuple[releases.Verified, int, int]:
        """(what the machine found, requests, bytes of their answers with headers)."""
        with counted(server) as sent:
            found = releases.check(self.publisher.given, self.cache, fetcher(server.url), CHANNEL, self.now)
        return found, sent.requests, sent.bytes

    def download(self, name: str, server: WebServer) -> dict[str, float]:
        """What the machine that runs `base` downloads to go to this release."""
        found, _, metadata = self.check(server)
        entry = found.channel.entries[-1]
        image = entry.image("x86-64")
        assert image is not None
        with counted(server) as sent:
            go = Go(entry.version, image.index, "named", "the bench says so")
            index = releases.index(found, go, self.cache, fetcher(server.url))
        row = {"payload": float(index.payload_bytes), "metadata": float(metadata), "index": float(sent.bytes)}
        for kind, patches in (("patches", index.patches), ("blocks", ())):
            new = Sealed(self.top / f"{name}-{kind}", entry.version, index.root_hash)
            new.folder.mkdir()
            write_index(new.folder, replace(index, patches=patches))
            machine = self.stage.machine(self.base, "machine")
            with counted(server) as sent:
                run_apply(machine, new, server.url)
            machine.remove()
            row |= {kind: float(sent.bytes), f"{kind} requests": float(sent.requests)}
        return row

    @property
    def base(self) -> Sealed:
        return Sealed.of(BuiltImage.read(self.folders["base"]))


class Sent:
    requests = 0
    bytes = 0


@contextmanager
def counted(server: WebServer) -> Iterator[Sent]:
    """What the server was asked and sent in the `with`."""
    asked, sent = len(server.asked), server.sent
    found = Sent()
    yield found
    found.requests, found.bytes = len(server.asked) - asked, server.sent - sent


def measure(ws: Workspace, steps: Steps) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=ws.state) as top:
        bench = DeltasBench(ws, steps, Path(top))
        published = {"base": bench.publish("base")}
        rows = {}
        with serve(Path(top) / "release/repo") as server:
            bench.check(server)
            for name in NAMES[1:]:
                with steps.step(f"Publishing and downloading {name}"):
                    published[name] = bench.publish(name)
                    rows[name] = bench.download(name, server)
            _, requests, size = bench.check(server)
    return {"published": published, "downloaded": rows, "check": {"requests": requests, "bytes": size}}


def reached(found: dict[str, Any]) -> dict[str, bool]:
    last, check = found["published"]["all"], found["check"]
    targets = {
        f"{name}: at most {limit / 1e6:.0f} MB downloaded": downloaded(found["downloaded"][name]) <= limit
        for name, limit in LIMITS.items()
    }
    return targets | {
        f"published within {PUBLISH_SECONDS:.0f} s with patches from {last['bases']} versions": (
            last["seconds"] <= PUBLISH_SECONDS and last["bases"] == 3
        ),
        f"nothing changed: {check['requests']} request, {check['bytes']} bytes": (
            check["requests"] == 1 and check["bytes"] <= CHECK_BYTES
        ),
    }


def downloaded(row: dict[str, float], kind: str = "patches") -> float:
    """All of it: the documents, the index, and the bytes of the image."""
    return row["metadata"] + row["index"] + row[kind]


def main() -> int:
    """Print the figures; exit status 1 when one misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args()
    found = measure(Workspace.find(), Steps())
    targets = reached(found)
    if args.json:
        print(json.dumps(found | {"targets": targets}, indent=2))
    else:
        print(text(found))
        for what, good in targets.items():
            print(f"{'yes' if good else 'NO':<4}{what}")
    return 0 if all(targets.values()) else 1


def text(found: dict[str, Any]) -> str:
    lines = [
        f"{'from base to':<14}{'payload':>10}{'documents':>11}{'index':>9}{'blocks':>10}{'patches':>10}{'in all':>10}"
    ]
    for name, row in found["downloaded"].items():
        sizes = (row["payload"], row["metadata"], row["index"], row["blocks"], row["patches"], downloaded(row))
        widths = (7, 8, 6, 7, 7, 7)
        lines.append(f"{name:<14}" + "".join(f"{n / 1e6:>{w}.2f} MB" for n, w in zip(sizes, widths, strict=True)))
    lines.append(f"{'published':<14}{'took':>10}{'packages':>11}{'patches from':>15}{'of':>12}")
    for name, row in found["published"].items():
        took = f"{name:<14}{row['seconds']:>8.1f} s{row['packages']:>11}{row['bases']:>6} versions"
        lines.append(f"{took}{row['patches'] / 1e6:>9.1f} MB")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
