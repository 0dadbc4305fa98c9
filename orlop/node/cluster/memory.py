"""What a server remembers of its cluster over boots: of which it was a member, and where the others were.

Invariant: forgetting does no harm to the cluster. A server without this memory asks where its configuration says; it
cannot make a store of its own, unless it is the first server and the time for that is not over.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import replacing
from orlop.model.words.strict import Fields, parse_json

FILE = "memory.json"
SCHEMA = 1
MOST_HOSTS = 32
_LARGEST = 1 << 16


@dataclass(frozen=True)
class ClusterMemory:
    """`cluster`: what etcd calls the cluster that it was a member of, 0 for none."""

    cluster: int = 0
    hosts: tuple[str, ...] = ()


def read(folder: Path) -> ClusterMemory:
    """An empty one when there is none, or it cannot be read: a damaged file keeps no server from its cluster."""
    try:
        fields = Fields.of("", parse_json((folder / FILE).read_bytes(), _LARGEST))
        fields.number("schema", SCHEMA, SCHEMA)
        return ClusterMemory(fields.number("cluster", 0, 1 << 64), tuple(fields.texts("hosts")[:MOST_HOSTS]))
    except FileNotFoundError:
        return ClusterMemory()
    except (OSError, BadInput) as e:
        if (folder / FILE).is_dir():  # in whose place nothing can be written
            os.rename(folder / FILE, tempfile.mkdtemp(prefix=f"{FILE}.aside-", dir=folder))
        print(f"what was remembered of the cluster is lost: {e}", flush=True)
        return ClusterMemory()


def written(folder: Path) -> int:
    """When it was written last, as a number that only changes with that; 0 when there is none."""
    try:
        return (folder / FILE).stat().st_mtime_ns
    except OSError:
        return 0


def write(folder: Path, memory: ClusterMemory) -> None:
    """For whoever the folder belongs to, also when root writes it. Raises NoSpace, OSError."""
    document = {"schema": SCHEMA, "cluster": memory.cluster, "hosts": list(memory.hosts[:MOST_HOSTS])}
    owner = folder.stat()
    with replacing(folder / FILE, mode=0o600) as f:
        f.write(json.dumps(document).encode() + b"\n")
        if not os.geteuid():
            os.fchown(f.fileno(), owner.st_uid, owner.st_gid)
