"""`cluster`: which cluster a machine belongs to, and as what.

The file has what is no secret; certificates, keys and the token are files of their own, the secret ones for root
alone. `orlop cluster new` writes all of it. Invariant: a worker has no key of an authority, and is refused one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from orlop.errors import BadInput
from orlop.model.cluster.names import SIZES, Role
from orlop.model.cluster.token import Token, der, parse
from orlop.model.settings import kinds
from orlop.model.settings.kinds import ValueKind, WholeNumber
from orlop.model.settings.table import Setting, SettingsTable, count, group, maybe, must, number, some, usual
from orlop.model.words import bucket
from orlop.model.words.bucket import S3Address
from orlop.model.words.strict import Fields

FORMAT = 1
MOST_SERVERS = 16  # addresses at which one is looked for
_LARGEST_PEM = 16_384  # characters
_READER = "orlop/cluster/settings.py"
_AGENT = "orlop/node/agent/__main__.py"


@dataclass(frozen=True)
class _Size(WholeNumber):
    """An even number of members tolerates no more losses than the odd one below it."""

    @property
    def said(self) -> str:
        return "1, 3 or 5 servers"

    def read(self, value: int, called: str) -> int:
        if value not in SIZES:
            raise BadInput(f"{called} must be {self.said}, not {value}")
        return value


def _is_host(text: str) -> bool:
    return (
        _is_address(text)
        or re.fullmatch(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z]([a-z0-9-]*[a-z0-9])?", text) is not None
    )


def _is_metadata(text: str) -> bool:
    key, _, value = text.partition("=")
    return re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", key, re.ASCII) is not None and _is_value(value)


def _is_value(text: str) -> bool:
    return 0 < len(text) <= 253 and text.isprintable() and "=" not in text and '"' not in text and " " not in text


def _is_resource(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9._/-]{0,62}=(0|[1-9][0-9]{0,5})", text, re.ASCII) is not None


def _is_address(text: str) -> bool:
    try:
        return str(ip_address(text)) == text
    except ValueError:
        return False


def _moment(text: str) -> datetime:
    try:
        return Fields("", {"": text}).moment("")
    except BadInput:
        raise ValueError from None


def _pem(text: str) -> str:
    try:
        der(text[:_LARGEST_PEM])
    except BadInput:
        raise ValueError from None
    return text


def _token(text: str) -> Token:
    try:
        return parse(text)
    except BadInput:
        raise ValueError from None


def _key_pair(text: str) -> tuple[str, str]:
    if not re.fullmatch(r"[!-9;-~]{1,200}:[!-~]{1,200}", text.strip()):
        raise ValueError
    key, _, secret = text.strip().partition(":")
    return key, secret


HOST = kinds.where(_is_host, "the address or the name of a host, in small letters")
ADDRESS = kinds.where(_is_address, "an IP address in its shortest form")
MOMENT = ValueKind("a moment like 2026-12-01T12:00:00Z", _moment)
PEM = ValueKind("a PEM text: -----BEGIN …-----", _pem, secret=True)
S3 = ValueKind(bucket.SAID, S3Address.parse_text)
STORAGE_KEY_KIND = ValueKind("KEY:SECRET, as the storage gives them", _key_pair, secret=True)
TOKEN_KIND = ValueKind("a join token: one line that begins with orlop-join-1.", _token, secret=True)

UNTIL = must("until", MOMENT, "when the time to make the cluster's store is over", _READER)
SIZE = number("servers", _Size(min(SIZES), max(SIZES), "servers"), "how many servers are members of the store", _READER)
FORM_TABLE = SettingsTable("cluster_form", (UNTIL, SIZE))

EVERY = usual("every", kinds.duration("1m", "240h"), "6h", "how often a server takes a snapshot of the store", _READER)
KEEP = count("keep", WholeNumber(1, 1000, "snapshots"), 28, "how many snapshots are kept in each place", _READER)
TO = maybe(
    "to",
    S3,
    "storage that the leader's server puts snapshots into as well; servers keep theirs in `/var/lib/orlop/cluster`",
    _READER,
)
SNAPSHOTS_TABLE = SettingsTable("cluster_snapshots", (EVERY, KEEP, TO))

NAME = must("name", kinds.GROUP, "name of the cluster", _READER)
ROLE = must("role", kinds.one_of(*Role), "what the machine is in it", _READER)
SERVERS = some("servers", HOST, MOST_SERVERS, "where servers are found; one that answers is enough", _READER)
OWN_ADDRESS = maybe(
    "address", ADDRESS, "at which other servers find this one; if not given, the one that leads to them", _READER
)
REPLACE_AFTER = usual(
    "replace_after",
    kinds.duration("5s", "24h"),
    "5m",
    "how long a member may be silent before a server that waits takes its place: longer than a server takes to reboot",
    _READER,
)
REBOOT_GROUP = maybe(
    "reboot_group", kinds.LOCK_GROUP, "group whose slots are counted when it reboots; if not given, its role's", _READER
)
FORM = group(
    "form", FORM_TABLE, "for the first server only: it makes the cluster's store when no other server answers", _READER
)
_VALUE = kinds.matching(r"[A-Za-z0-9@._:/+= -]{1,100}", "1 to 100 letters, digits, spaces and @._:/+=-")
_CLAIM = kinds.matching(r"[A-Za-z0-9_:/.-]{1,100}", "the name of a claim: 1 to 100 letters, digits and _:/.-")
_MOST_GROUPS = 32
_ISSUER = kinds.matching(r"https://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", "an https address without ? and #")
ISSUER = must("issuer", _ISSUER, "the provider, as it writes itself", _READER)
AUDIENCE = must("audience", _VALUE, "what the provider calls this cluster: its client id", _READER)
CLAIM = usual("claim", _CLAIM, "groups", "the claim whose values decide; dots lead into objects", _READER)
PERSON = usual("name", _CLAIM, "sub", "the claim that people are called by", _READER)
GROUPS = tuple(
    some(f"{access}s", _VALUE, _MOST_GROUPS, f"values of the claim that make {article} {access}", _READER)
    for access, article in (("admin", "an"), ("operator", "an"), ("auditor", "an"), ("viewer", "a"))
)
PROVIDER_CA = maybe(
    "provider_ca",
    PEM,
    "certificate of the authority of the provider's; if not given, those the system believes",
    _READER,
)
OIDC_TABLE = SettingsTable("cluster_oidc", (ISSUER, AUDIENCE, CLAIM, PERSON, *GROUPS, PROVIDER_CA))
OIDC = group(
    "oidc", OIDC_TABLE, "people by OpenID Connect, beside certificates and bearer tokens: servers only", _READER
)
SNAPSHOTS = group("snapshots", SNAPSHOTS_TABLE, "servers: snapshots of the store that they take by themselves", _READER)
CA = maybe("ca", PEM, "certificate of the cluster's CA", _READER)
CA_KEY = maybe("ca_key", PEM, "its private key: servers only", _READER)
STORE_CA = maybe("store_ca", PEM, "certificate of the CA of the cluster's store: servers only", _READER)
STORE_CA_KEY = maybe("store_ca_key", PEM, "its private key: servers only", _READER)
TOKEN = maybe("token", TOKEN_KIND, "what a worker joins with", _READER)
STORAGE_KEY = maybe(
    "storage_key", STORAGE_KEY_KIND, "what the storage of `snapshots.to` lets in: servers only", _READER
)

METADATA = some(
    "metadata", kinds.where(_is_metadata, "KEY=VALUE"), 64, "what units may ask for with MachineMetadata=", _AGENT
)
RESOURCES = some(
    "resources", kinds.where(_is_resource, "NAME=COUNT"), 64, "what units may take with Resources=", _AGENT
)

# the file's; the others are files of their own
PLAIN: tuple[Setting[object], ...] = (
    NAME, ROLE, SERVERS, OWN_ADDRESS, REPLACE_AFTER, REBOOT_GROUP, FORM, METADATA, RESOURCES, OIDC, SNAPSHOTS,
)  # fmt: skip
SECRETS: tuple[Setting[object], ...] = (CA, CA_KEY, STORE_CA, STORE_CA_KEY, TOKEN, STORAGE_KEY)
PLAIN_TABLE = SettingsTable("cluster", PLAIN)
CLUSTER = SettingsTable("cluster", (*PLAIN, *SECRETS))

_NEEDED = {Role.SERVER: (CA, CA_KEY, STORE_CA, STORE_CA_KEY), Role.WORKER: (TOKEN,)}
_ONLY_SERVERS = (FORM, OIDC, OWN_ADDRESS, REPLACE_AFTER, SNAPSHOTS, CA_KEY, STORE_CA, STORE_CA_KEY, STORAGE_KEY)
_REFUSED = {Role.SERVER: (TOKEN,), Role.WORKER: _ONLY_SERVERS}


def problems(role: Role, has: Callable[[str], bool]) -> list[tuple[str, str, str]]:
    """What does not go with a role: the setting's name, what is wrong, and what to do. `has`: whether it is given, by
    its path.
    """
    found = [(s.name, f"a {role} needs {s.name}", f"add `{s.name}:`") for s in _NEEDED[role] if not has(s.name)]
    if not has(SERVERS.name):
        found.append((SERVERS.name, "a machine of a cluster must know where servers are", "add `servers:`"))
    if role is Role.SERVER and has(f"{SNAPSHOTS.name}.{TO.name}") and not has(STORAGE_KEY.name):
        why = "the storage of snapshots.to lets nobody in without storage_key"
        found.append((SNAPSHOTS.name, why, f"add `{STORAGE_KEY.name}:`"))
    wrong = (setting.name for setting in _REFUSED[role] if has(setting.name))
    return found + [(name, f"a {role} must not have {name}", "leave it out") for name in wrong]
