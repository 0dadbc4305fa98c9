"""Many machines in one process: each speaks the control API as the agent of a real machine does.

    join     a token and a public key → a certificate                POST /v1/join
    stream   what is decided about it, on a connection that is kept   GET  /v1/watch/machines/MACHINE
    report   every half minute, give or take a fifth, each on a new connection that is closed after it
                                                                      PUT  /v1/machines/MACHINE/report

Written against docs/protocol/control-api.md and not against the agent's code. Faithful in what costs a server: TLS 1.3
with a certificate of its own on each connection, a handshake for each report, a stream that comes back after a pause of
its own, which grows while nobody answers. Not simulated: whether it is well, and what it does with what it hears.

Lifetime: one event loop's. It counts what happens to it; who looks at the counts decides what is wrong.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import tempfile
import time
import uuid
from asyncio import sslproto
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

REPORT_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
SECONDS = 10.0  # for a request
SILENCE_SECONDS = 25.0  # of a stream
ANSWER_LIMIT = 1 << 22


@dataclass(frozen=True)
class SimulatedCa:
    """An authority in memory: PEM texts."""

    certificate: str
    key: str

    def sign(self, public: ec.EllipticCurvePublicKey, organization: str, name: str, life: timedelta) -> str:
        """A client's certificate, in PEM."""
        now = datetime.now(UTC)
        issuer = x509.load_pem_x509_certificate(self.certificate.encode()).subject
        key = load_pem_private_key(self.key.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
                             x509.NameAttribute(NameOID.COMMON_NAME, name)])  # fmt: skip
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(minutes=5))
        builder = builder.not_valid_after(now + life)
        usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")])
        return builder.add_extension(usage, critical=False).sign(key, hashes.SHA256()).public_bytes(
            Encoding.PEM).decode()  # fmt: skip


@dataclass
class Counts:
    """What has happened to a crowd so far. Times are time.monotonic()."""

    reports: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    states: int = 0
    heard: list[tuple[float, str, Any]] = field(default_factory=list)  # when, the event's name, its data

    def fail(self, why: str) -> None:
        self.failures[why] = self.failures.get(why, 0) + 1


@dataclass
class CrowdMachine:
    """`context` shows its certificate; None until it has joined."""

    name: str
    key: ec.EllipticCurvePrivateKey
    boot: str = field(default_factory=lambda: str(uuid.uuid4()))
    context: ssl.SSLContext | None = None
    listens: bool = False

    @property
    def public(self) -> str:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def show(self, ca: str, certificate: str) -> None:
        """Speak by this certificate from now on."""
        self.context = client_context(ca, certificate, self.key)


class Crowd:
    """`hosts` and `port`: where the control API is; machine number n asks the host n modulo their number first."""

    def __init__(self, hosts: Sequence[str], port: int, ca: str, count: int, *, first: int = 1) -> None:
        sslproto.SSLProtocol.max_size = 16_384  # asyncio's own is 256 KiB a connection
        self.hosts, self.port, self.ca, self.counts = tuple(hosts), port, ca, Counts()
        key = ec.generate_private_key(ec.SECP256R1())  # one for all of them: who is who is said by certificates
        self.machines = [CrowdMachine(f"{n:032x}", key) for n in range(first, first + count)]
        self._tasks: set[asyncio.Task[None]] = set()

    def given(self, authority: SimulatedCa, life: timedelta = timedelta(days=1)) -> None:
        """Certificates by the authority itself, for tests that are not about joining."""
        for machine in self.machines:
            machine.show(self.ca, authority.sign(machine.key.public_key(), "orlop:worker", machine.name, life))

    async def join(self, token: str, *, at_once: int = 8) -> float:
        """All of them, by a token; so many at a time, as one address may. The seconds it took."""
        began, room = time.monotonic(), asyncio.Semaphore(at_once)

        async def one(machine: CrowdMachine) -> None:
            wish = {"token": token, "machine": machine.name, "host": f"sim-{machine.name[-6:]}",
                    "public_key": machine.public}  # fmt: skip
            async with room:
                context = client_context(self.ca)
                while True:
                    status, body = await self.ask(machine, "POST", "/v1/join", wish, context)
                    if status not in {429, 503, 504}:
                        break
                    await asyncio.sleep(random.uniform(0.2, 1.0))
                assert status == 200, body
                machine.show(self.ca, json.loads(body)["certificate"])

        await asyncio.gather(*(one(machine) for machine in self.machines))
        return time.monotonic() - began

    async def ask(
        self, machine: CrowdMachine, method: str, path: str, body: Any = None, context: ssl.SSLContext | None = None
    ) -> tuple[int, bytes]:
        """One request on a connection of its own. Raises OSError, TimeoutError, EOFError."""
        host = self.host_of(machine)
        return await asked(host, self.port, context or machine.context, method, path, body)

    def host_of(self, machine: CrowdMachine) -> str:
        return self.hosts[int(machine.name, 16) % len(self.hosts)]

    def live(self, *, every: float = REPORT_SECONDS) -> None:
        """Begin: each at a moment of its own within the first interval, as machines that were not started together."""
        for machine in self.machines:
            self._begin(self._reporting(machine, every))
            self._begin(self._listening(machine))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    @property
    def listening(self) -> int:
        return sum(machine.listens for machine in self.machines)

    async def all_listen(self, seconds: float) -> float:
        """How long it took until every machine had its stream. Raises TimeoutError."""
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            while self.listening < len(self.machines):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    def _begin(self, script: Any) -> None:
        self._tasks.add(asyncio.ensure_future(script))

    async def _reporting(self, machine: CrowdMachine, every: float) -> None:
        await asyncio.sleep(random.uniform(0, every))
        while True:
            began = time.monotonic()
            try:
                status, body = await self.ask(machine, "PUT", f"/v1/machines/{machine.name}/report", report(machine))
            except (OSError, EOFError, TimeoutError) as e:
                self.counts.fail(f"report: {type(e).__name__}")
            else:
                self.counts.latencies.append(time.monotonic() - began)
                if status == 204:
                    self.counts.reports += 1
                else:
                    self.counts.fail(f"report: {status} {body[:200].decode(errors='replace')}")
            await asyncio.sleep(random.uniform(0.8, 1.2) * every)

    async def _listening(self, machine: CrowdMachine) -> None:
        pause = FIRST_PAUSE
        await asyncio.sleep(random.uniform(0, FIRST_PAUSE))
        while True:
            why = "bye"
            try:
                assert machine.context is not None
                path = f"/v1/watch/machines/{machine.name}"
                async with streamed(self.host_of(machine), self.port, machine.context, path) as events:
                    machine.listens, pause = True, FIRST_PAUSE
                    async for name, _, data in events:
                        self._hear(name, data)
            except (OSError, EOFError, TimeoutError, ValueError) as e:
                why = type(e).__name__
            machine.listens = False
            self.counts.fail(f"stream: {why}")
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _hear(self, name: str, data: Any) -> None:
        if name == "state":
            self.counts.states += 1
        else:
            self.counts.heard.append((time.monotonic(), name, data))


def report(machine: CrowdMachine) -> dict[str, Any]:
    return {
        "schema": 1, "machine": machine.name, "boot": machine.boot, "version": "20261201.1", "verdict": "good",
        "reason": "", "addresses": ["10.0.0.1", "fd00::1"], "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip


def client_context(ca: str, certificate: str = "", key: ec.EllipticCurvePrivateKey | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca)
    if key is not None:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with tempfile.NamedTemporaryFile(prefix="orlop-sim-") as file:  # it can be loaded from a file alone
            Path(file.name).write_bytes(certificate.encode() + pem)
            context.load_cert_chain(file.name)
    return context


async def asked(
    host: str, port: int, context: ssl.SSLContext | None, method: str, path: str, body: Any = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:  # fmt: skip
    """Status and body. Raises OSError, EOFError, TimeoutError."""
    async with asyncio.timeout(SECONDS), _connection(host, port, context) as (reader, writer):
        raw = b"" if body is None else json.dumps(body).encode()
        writer.write(_head(host, method, path, {"Connection": "close", **(headers or {})}, raw) + raw)
        status, found = await _answer_head(reader)
        if found.get("transfer-encoding") == "chunked":
            return status, b"".join([piece async for piece in _chunks(reader)])
        return status, await reader.readexactly(int(found.get("content-length", "0")))


@asynccontextmanager
async def streamed(
    host: str, port: int, context: ssl.SSLContext, path: str, last: int = 0
) -> AsyncIterator[AsyncIterator[tuple[str, int, Any]]]:
    """The events of a stream: name, id and data. Raises OSError, EOFError, TimeoutError; OSError when it is refused."""
    async with _connection(host, port, context) as (reader, writer):
        async with asyncio.timeout(SECONDS):
            writer.write(_head(host, "GET", path, {"Last-Event-ID": str(last)} if last else {}, b""))
            status, _ = await _answer_head(reader)
        if status != 200:
            raise ConnectionError(f"{path} is answered with {status}")
        yield _events(reader)


@asynccontextmanager
async def _connection(
    host: str, port: int, context: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=ANSWER_LIMIT)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _head(host: str, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, *length, "", ""]).encode()


async def _answer_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    words = (await reader.readuntil(b"\r\n")).split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionError("it does not speak HTTP")
    headers = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(words[1]), headers


async def _chunks(reader: asyncio.StreamReader, silence: float = SECONDS) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(silence):
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            piece = await reader.readexactly(size)
            await reader.readexactly(2)
        if not piece:
            return
        yield piece


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, int, Any]]:
    name, ident, data, rest = "", 0, "", b""
    async for piece in _chunks(reader, SILENCE_SECONDS):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            field_name, _, value = line.decode().partition(": ")
            if field_name == "event":
                name = value
            elif field_name == "id":
                ident = int(value)
            elif field_name == "data":
                data += value
            elif not line and name:
                yield name, ident, json.loads(data or "null")
                name, ident, data = "", 0, ""
