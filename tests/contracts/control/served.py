"""The control API as it is served: real TLS on loopback, certificates by the SDK's openssl, the store in memory.

The server has an event loop of its own, in a thread; a test asks it as any client does, with `http.client`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from orlop.control.api.asked import Control
from orlop.control.api.routes import application
from orlop.control.api.stream import bye
from orlop.control.hub import Hub
from orlop.control.joining import JoinAuthority
from orlop.control.locks import RebootLocks
from orlop.control.provider import OidcProvider
from orlop.control.records import Records
from orlop.control.scheduler.leader import SchedulerLoop
from orlop.control.scheduler.presence import Presence
from orlop.control.serve import Certificates, ControlServer, listening, server
from orlop.control.signing import ClusterSigner
from orlop.model.cluster import token as join_token
from orlop.model.cluster.lock import StoreMembers
from orlop.model.cluster.names import STATE, Role
from orlop.model.cluster.oidc import OidcSettings
from orlop.model.cluster.token import Token
from orlop.sdk import tree
from orlop.sdk.run import in_sdk
from orlop.steps import Steps
from orlop.store.memory import MemoryStore
from orlop.workspace import Workspace

SECONDS = 20.0
HOLD_SECONDS = 2  # of the reboot lock


class PrivateKey:
    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> str:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def authority(folder: Path, name: str = "test cluster CA") -> tuple[Path, Path]:
    """A CA's certificate and key."""
    made, now = PrivateKey(), datetime.now(UTC)
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder().subject_name(called).issuer_name(called).public_key(made.key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30)).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(made.key, hashes.SHA256())
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "ca.key").write_bytes(made.pem)
    return folder / "ca.crt", folder / "ca.key"


@dataclass
class Identity:
    """What a client shows: a certificate and its key, in files."""

    certificate: Path
    key: Path


@dataclass
class ServedControl:
    folder: Path
    signer: ClusterSigner
    store: MemoryStore
    hub: Hub
    certificates: Certificates
    now: list[datetime]
    port: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    stopped: threading.Event = field(default_factory=threading.Event)
    running: ControlServer | None = None
    scheduler: SchedulerLoop | None = None
    provider: OidcProvider | None = None
    seconds: list[float] = field(default_factory=lambda: [1000.0])  # of the provider's clock
    members: StoreMembers = field(default_factory=lambda: StoreMembers(()))  # what etcd says of itself

    def token(self, life: timedelta = timedelta(hours=1)) -> Token:
        return token_of(self.signer, self.now[0] + life)

    def identity(
        self, name: str, subject: str, *, life: timedelta = timedelta(days=1),
        signer: ClusterSigner | None = None, key: PrivateKey | None = None,
    ) -> Identity:  # fmt: skip
        """A client's certificate, signed by the cluster's CA unless another is named."""
        made = key or PrivateKey()
        text = asyncio.run((signer or self.signer).sign(made.public, subject, datetime.now(UTC), life))
        return self.keep(name, text, made)

    def keep(self, name: str, certificate: str, key: PrivateKey) -> Identity:
        identity = Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        identity.certificate.write_text(certificate)
        identity.key.write_bytes(key.pem)
        return identity

    def connect(self, identity: Identity | None = None) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=SECONDS)

    def ask(self, method: str, path: str, identity: Identity | None = None, body: Any = None,
            headers: dict[str, str] | None = None) -> tuple[int, Any, dict[str, str]]:  # fmt: skip
        """Status, body (parsed when there is one) and headers."""
        connection = self.connect(identity)
        try:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
            connection.request(method, path, raw, headers or {})
            answer = connection.getresponse()
            text = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, json.loads(text) if text else None, found
        finally:
            connection.close()

    def show_from(self, begins: datetime) -> None:
        """A certificate of the server that is good for a day from then on."""
        own = PrivateKey()
        text = asyncio.run(server_certificate(self.signer, own, begins))
        for path, content in ((self.certificates.certificate, text.encode()), (self.certificates.key, own.pem)):
            path.write_bytes(content)
        assert self.certificates.reload()

    def do(self, coroutine: Any) -> Any:
        """In the server's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(SECONDS)

    def end(self) -> None:
        """Ask it to stop."""
        if self.running is not None and not self.stopped.is_set():
            self.loop.call_soon_threadsafe(self.running.end)

    def stop(self) -> None:
        self.end()
        assert self.stopped.wait(SECONDS)


def token_of(signer: ClusterSigner, ends: datetime) -> Token:
    """A worker's join token of the cluster that has this authority."""
    ca, key = (join_token.der(path.read_text()) for path in (signer.certificate, signer.key))
    return join_token.make(Role.WORKER, ends, ca, key)


def signer_of(folder: Path, name: str = "test cluster CA") -> ClusterSigner:
    """A signer whose openssl is the SDK's: the host's may be too old to be told when a certificate begins."""
    ws = Workspace.find()
    tree.ensure(ws, Steps())
    certificate, key = authority(folder, name)
    return ClusterSigner(certificate, key, tuple(in_sdk(ws, ["openssl"], binds=[folder])))


async def server_certificate(signer: ClusterSigner, key: PrivateKey, begins: datetime) -> str:
    """Good for a day."""
    return await signer.sign(key.public, "/O=orlop:server/CN=s1", begins, timedelta(days=1),
                             usages="serverAuth,clientAuth", names="IP:127.0.0.1,DNS:localhost")  # fmt: skip


@contextmanager
def serving(folder: Path, oidc: OidcSettings | None = None) -> Iterator[ServedControl]:
    signer = signer_of(folder)
    own = PrivateKey()
    text = asyncio.run(server_certificate(signer, own, datetime.now(UTC)))
    (folder / "server.crt").write_text(text)
    (folder / "server.key").write_bytes(own.pem)
    store = MemoryStore()
    there = ServedControl(
        folder, signer, store, Hub(store, STATE),
        Certificates(folder / "server.crt", folder / "server.key", signer.certificate), [datetime.now(UTC)],
    )  # fmt: skip
    there.provider = OidcProvider(oidc, signer, lambda: there.seconds[0]) if oidc else None
    records = Records(store)

    async def members() -> StoreMembers:
        return there.members

    locks = RebootLocks(store, records, members, seconds=HOLD_SECONDS)
    presence = Presence(store, "s1", closed=0.4)
    control = Control(
        store, there.hub, records, locks, JoinAuthority.load(signer), lambda: there.now[0], "s1", "test",
        there.provider, presence=presence,
    )  # fmt: skip
    scheduler = there.scheduler = SchedulerLoop(store, there.hub, "s1", grace=0.3, many_grace=0.9)
    sock = listening("127.0.0.1", 0)
    there.port = sock.getsockname()[1]

    async def serve() -> None:
        watching = [asyncio.ensure_future(each) for each in (there.hub.run(), presence.run(), scheduler.run())]
        await there.hub.ready.wait()
        there.running = server(application(control), there.certificates, lambda: bye(there.hub))
        await there.running.serve(sockets=[sock])
        for task in watching:
            task.cancel()

    def run() -> None:
        try:
            there.loop.run_until_complete(serve())
            there.loop.run_until_complete(there.loop.shutdown_asyncgens())
            there.loop.run_until_complete(asyncio.sleep(0.05))  # what was aborted is closed a turn later
        finally:
            there.loop.close()
            there.stopped.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield there
    finally:
        there.stop()
        thread.join(SECONDS)
        sock.close()
