"""Make an operator's folder, and read it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from orlop.cluster import authority, butane
from orlop.cluster.authority import Authority
from orlop.errors import BadInput, Busy, Missing
from orlop.files import made_beside, write_atomic
from orlop.model.cluster import token
from orlop.model.cluster.certificates import TOKEN_LIFE
from orlop.model.cluster.names import (
    FIRST_FILE,
    FOLDER_KEYS,
    RECORD_FILE,
    SERVER_FILE,
    SIZES,
    WORKER_FILE,
    Role,
)
from orlop.model.cluster.token import Token, der
from orlop.model.settings.cluster import HOST, MOST_SERVERS, REPLACE_AFTER
from orlop.model.words.name import SAID, is_name
from orlop.model.words.strict import Fields, parse_json, stamp

SCHEMA = 1
FORM_LIFE = timedelta(hours=24)
_LARGEST = 1 << 16  # bytes of the record


@dataclass(frozen=True)
class Founded:
    """A cluster as its operator's folder has it. `size`: how many servers are to be members of the store;
    `replace_after`: how long a member may be silent, as the setting is written, "" for its default.
    """

    name: str
    servers: tuple[str, ...]
    size: int
    ca: Authority
    store: Authority
    replace_after: str = ""

    @property
    def about(self) -> butane.About:
        return butane.About(self.name, self.servers, self.replace_after)

    def first_server(self, until: datetime) -> str:
        """Its Butane file; it may make the store until then."""
        return butane.first_server(self.about, self.ca, self.store, until=until, size=self.size)

    def server(self) -> str:
        return butane.server(self.about, self.ca, self.store)

    def worker(self, joining: Token) -> str:
        return butane.worker(self.about, joining)

    def token(self, role: Role, ends: datetime) -> Token:
        return token.make(role, ends, der(self.ca.certificate), der(self.ca.key))


def found(name: str, servers: Sequence[str], size: int, now: datetime, *, replace_after: str = "") -> Founded:
    """A new cluster, of which nothing is written yet. `servers`: where they are found. Raises BadInput."""
    if replace_after:
        REPLACE_AFTER.one(replace_after, "--replace-after")
    if not is_name(name):
        raise BadInput(f"{name!r} is not a valid name of a cluster", hint=f"a name is {SAID}")
    if size not in SIZES:
        hint = "an even number tolerates no more losses than the odd one below it"
        raise BadInput(f"--servers must be {', '.join(map(str, SIZES[:-1]))} or {SIZES[-1]}, not {size}", hint=hint)
    if not 1 <= len(servers) <= MOST_SERVERS:
        raise BadInput(f"{len(servers)} addresses of servers are given, a machine takes 1 to {MOST_SERVERS}")
    for server in servers:
        HOST.read(server, "where servers are found")
    ca, store = (authority.make(f"{name} {what} CA", now) for what in ("cluster", "store"))
    return Founded(name, tuple(dict.fromkeys(servers)), size, ca, store, replace_after)


def write(folder: Path, cluster: Founded, now: datetime) -> None:
    """Put it all into `folder`, which must not be there. Raises Busy, BadInput, NoSpace."""
    if folder.exists() or folder.is_symlink():
        raise Busy(
            f"{folder} is there already", hint="-o takes another folder; a cluster's keys are never written over"
        )
    record = {
        "schema": SCHEMA,
        "name": cluster.name,
        "made": stamp(now),
        "size": cluster.size,
        "servers": list(cluster.servers),
        "replace_after": cluster.replace_after,
    }
    pems = (cluster.ca.certificate, cluster.ca.key, cluster.store.certificate, cluster.store.key)
    texts = {
        **dict(zip(FOLDER_KEYS, pems, strict=True)),
        RECORD_FILE: json.dumps(record, indent=1) + "\n",
        FIRST_FILE: cluster.first_server(now + FORM_LIFE),
        SERVER_FILE: cluster.server(),
        WORKER_FILE: cluster.worker(cluster.token(Role.WORKER, now + TOKEN_LIFE)),
    }
    try:
        with made_beside(folder) as work:
            work.chmod(0o700)  # before there is anything in it
            for name, text in texts.items():
                write_atomic(work / name, text, mode=0o600)
    except OSError as e:
        raise BadInput(f"{folder} cannot be made: {e.strerror}", hint="-o takes another folder") from None


def read(folder: Path) -> Founded:
    """Raises Missing, BadInput."""
    try:
        record = Fields.of("", parse_json((folder / RECORD_FILE).read_bytes(), _LARGEST))
        record.only("schema", "name", "made", "size", "servers", "replace_after")
        record.number("schema", SCHEMA, SCHEMA)
        pems = [(folder / name).read_text() for name in FOLDER_KEYS]
        for pem in pems:
            der(pem)
        ca, store = Authority(*pems[:2]), Authority(*pems[2:])
        servers = tuple(record.texts("servers", must=True))
        size, after = record.number("size", min(SIZES), max(SIZES)), record.line("replace_after", 10, empty=True)
        return Founded(record.line("name", 31), servers, size, ca, store, after)
    except FileNotFoundError as e:
        hint = "`orlop cluster new` makes one; -o says where it is"
        raise Missing(
            f"{folder} is not the folder of a cluster: {Path(e.filename).name} is not there", hint=hint
        ) from None
    except OSError as e:
        raise BadInput(f"{folder} cannot be read: {e.strerror}") from None
    except (BadInput, UnicodeDecodeError) as e:
        said = e.message if isinstance(e, BadInput) else "a file of it is not text"
        raise BadInput(f"{folder} is not the folder of a cluster: {said}") from None
