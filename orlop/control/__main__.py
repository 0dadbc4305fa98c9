"""Start `orlop-control` on a server.

Lifetime: the server's. It waits for the store as long as it takes, and goes on through its absence: every request is
answered with 503 then, and nobody is put out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orlop.cluster.settings import ClusterSettings, load
from orlop.control.api.asked import Control
from orlop.control.api.routes import application
from orlop.control.api.stream import bye
from orlop.control.hub import Hub
from orlop.control.identity import RENEW, ServerIdentity, store_context
from orlop.control.joining import JoinAuthority
from orlop.control.locks import RebootLocks
from orlop.control.provider import OidcProvider
from orlop.control.records import Records
from orlop.control.scheduler.leader import SchedulerLoop
from orlop.control.scheduler.presence import Presence
from orlop.control.serve import Certificates, listening, server
from orlop.control.signing import ClusterSigner
from orlop.errors import OrlopError
from orlop.model.cluster.names import (
    CA_KEY_PLACE,
    CA_PLACE,
    CONTROL_PORT,
    CONTROL_TLS,
    SERVER_TOKEN,
    STATE,
    STORE_PORT,
    STORE_TLS,
    machine_of,
    url,
)
from orlop.net.notify import notify
from orlop.store.etcd.client import EtcdStore
from orlop.store.etcd.members import EtcdMembers

WAIT_SECONDS = 0.5
log = logging.getLogger("orlop.control")


@dataclass(frozen=True)
class ControlPlaces:
    """Where this program finds and puts what it needs: on a server as model/cluster/names says, in tests elsewhere.

    `store_tls`: what orlop-cluster makes for clients of the store; None when it is spoken to plainly, as tests do.
    """

    signer: ClusterSigner
    tls: Path = Path(CONTROL_TLS)
    token: Path = Path(SERVER_TOKEN)
    store_tls: Path | None = Path(STORE_TLS)
    store: tuple[str, ...] = ()
    port: int = CONTROL_PORT


def places(settings: ClusterSettings) -> ControlPlaces:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    key = Path(folder) / Path(CA_KEY_PLACE).name if folder else Path(CA_KEY_PLACE)
    store = tuple(url(host, STORE_PORT) for host in ("127.0.0.1", *settings.servers))
    return ControlPlaces(ClusterSigner(Path(CA_PLACE), key), store=store)


def now() -> datetime:
    return datetime.now(UTC)


async def run(settings: ClusterSettings, machine: str, there: ControlPlaces) -> None:
    """Until a signal. Raises OrlopError, OSError."""
    authority = JoinAuthority.load(there.signer)
    identity = ServerIdentity(there.tls, there.token, authority, machine, _hosts(settings))
    await identity.make(now())
    certificates = Certificates(identity.certificate, identity.key, identity.ca)
    store = EtcdStore(there.store, await _store_context(there.store_tls) if there.store_tls else None)
    hub = Hub(store, STATE)
    presence = Presence(store, machine)
    provider = OidcProvider(settings.oidc, there.signer) if settings.oidc else None
    records = Records(store)
    locks = RebootLocks(store, records, EtcdMembers(store, lambda: store_context(Path(STORE_TLS))))
    control = Control(
        store, hub, records, locks, authority, now, socket.gethostname(), settings.name, provider, presence=presence
    )  # fmt: skip
    running = server(application(control), certificates, lambda: bye(hub))
    sock = listening("::", there.port)
    tasks = [
        asyncio.ensure_future(hub.run()),
        asyncio.ensure_future(presence.run()),
        asyncio.ensure_future(SchedulerLoop(store, hub, machine).run()),
        asyncio.ensure_future(_renewing(identity, certificates, store, there.store_tls)),
        asyncio.ensure_future(_alive()),
    ]
    notify("READY=1")
    try:
        await running.serve(sockets=[sock])
    finally:
        for task in tasks:
            task.cancel()
        await store.close()


def _hosts(settings: ClusterSettings) -> list[str]:
    """By what others ask this server: where servers are found is said to be any of them, so each may be this one."""
    own = [settings.address] if settings.address else []
    return list(dict.fromkeys([socket.gethostname(), *own, *settings.servers]))


async def _store_context(folder: Path) -> ssl.SSLContext:
    """As soon as orlop-cluster has made what it needs."""
    while True:
        try:
            return store_context(folder)
        except (OSError, ssl.SSLError):
            await asyncio.sleep(WAIT_SECONDS)


async def _renewing(
    identity: ServerIdentity, certificates: Certificates, store: EtcdStore, store_tls: Path | None
) -> None:
    while True:
        await asyncio.sleep(RENEW.total_seconds())
        try:
            await identity.make(now())
        except (OrlopError, OSError) as e:
            log.warning("the certificate was not made anew, the one before is kept: %s", e)
        certificates.reload()
        if store_tls:
            with suppress(OSError, ssl.SSLError):
                store.use(store_context(store_tls))


async def _alive() -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(20)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        settings = load()
        asyncio.run(run(settings, machine_of(Path("/etc/machine-id").read_text()), places(settings)))
    except OrlopError as e:
        print(f"this server has no control API: {e.message} ({e.hint})", file=sys.stderr, flush=True)
        return 1
    except OSError as e:
        print(f"this server has no control API: {e.filename or ''} {e.strerror}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
