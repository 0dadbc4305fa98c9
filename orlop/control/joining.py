"""How a machine gets its certificate: by a token the first time, by the certificate it has from then on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orlop.control.records import Deed, Records
from orlop.control.signing import ClusterSigner, key_digest
from orlop.errors import BadInput, NotAllowed
from orlop.model.cluster import token as join_token
from orlop.model.cluster.access import Access, Caller
from orlop.model.cluster.certificates import MACHINE_LIFE, subject
from orlop.model.cluster.machine import MachineRecord, machine_trouble
from orlop.model.cluster.names import Role
from orlop.model.words.strict import Fields


@dataclass(frozen=True)
class JoinWish:
    """What a machine that wants to join sends."""

    token: join_token.Token
    machine: str
    host: str
    public_key: str

    @classmethod
    def read(cls, f: Fields) -> JoinWish:
        """Raises BadInput."""
        f.only("token", "machine", "host", "public_key")
        machine = f.line("machine", 32)
        if trouble := machine_trouble(machine):
            raise BadInput(trouble)
        public_key = f.text("public_key", 1024)
        key_digest(public_key)
        return cls(join_token.parse(f.line("token", join_token.LARGEST)), machine, f.line("host", 64), public_key)


@dataclass(frozen=True)
class JoinAuthority:
    """The cluster's CA as joining needs it: `certificate` and `key` in DER, `pem` as machines are given it."""

    signer: ClusterSigner
    certificate: bytes
    key: bytes
    pem: str

    @classmethod
    def load(cls, signer: ClusterSigner) -> JoinAuthority:
        pem = signer.certificate.read_text()
        return cls(signer, join_token.der(pem), join_token.der(signer.key.read_text()), pem)


async def join(records: Records, authority: JoinAuthority, wish: JoinWish, where: str, now: datetime) -> str:
    """The certificate. Raises BadInput (token), NotAllowed (revoked, expelled, a copy of another machine)."""
    caller = Caller(Access.MACHINE, wish.machine, f"join token {wish.token.id}")
    deed = Deed(caller, f"join as {wish.token.role} from {wish.host}", where)
    try:
        join_token.check(wish.token, authority.certificate, authority.key, now)
        if why := await records.revoked(wish.token.id):
            raise NotAllowed(f"the token was revoked: {why}", hint="give the machine a newer file")
        key = key_digest(wish.public_key)
        record = MachineRecord(wish.machine, wish.token.role, wish.host, key, wish.token.id, now)
        record = await records.join(record, deed, now)
    except (BadInput, NotAllowed) as e:
        await records.note(deed, f"refused: {e.message}", now)
        raise
    return await _certificate(authority, record.role, wish.machine, wish.public_key, now)


async def renew(records: Records, authority: JoinAuthority, public_key: str, deed: Deed, now: datetime) -> str:
    """A new certificate for the key that the machine joined with. Raises BadInput, Missing."""
    caller = deed.caller
    kept = await records.machine(caller.name)
    if key_digest(public_key) != kept.record.key:
        raise BadInput(
            f"machine {caller.name} joined with another key: a certificate is renewed for the same one",
            hint="one that lost its key is expelled, and joins anew",
        )
    await records.note(deed, "done", now)  # before it is handed out: none is that nobody knows of
    return await _certificate(authority, kept.record.role, caller.name, public_key, now)


async def _certificate(authority: JoinAuthority, role: Role, machine: str, public_key: str, now: datetime) -> str:
    return await authority.signer.sign(public_key, subject(role, machine), now, MACHINE_LIFE)
