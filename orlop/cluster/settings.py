"""What this machine's configuration says about its cluster: /etc/orlop/cluster.toml and the files beside it.

What they may hold is in the table of settings (orlop.model.settings.cluster). Lifetime: a boot, because /etc is sealed.
The keys of the authorities, `ca_key` and `store_ca_key`, are files for root alone: systemd hands them over as
credentials, and they are read where they are used and not kept.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from orlop.errors import BadInput, Missing
from orlop.model.cluster.access import Access
from orlop.model.cluster.names import (
    CA_KEY_PLACE,
    CA_PLACE,
    SETTINGS_PLACE,
    STORAGE_KEY_PLACE,
    STORE_CA_KEY_PLACE,
    STORE_CA_PLACE,
    TOKEN_PLACE,
    Role,
)
from orlop.model.cluster.oidc import OidcSettings
from orlop.model.cluster.snapshots import Schedule
from orlop.model.settings import cluster as table
from orlop.model.settings.read import read
from orlop.model.settings.table import SettingValues
from orlop.model.words.bucket import S3Address
from orlop.model.words.strict import Fields

LARGEST = 1 << 16  # bytes of any of the files
_HINT = "mend `cluster` in the machine's configuration; `orlop cluster new` writes one"
SECRET = (CA_KEY_PLACE, STORE_CA_KEY_PLACE, TOKEN_PLACE, STORAGE_KEY_PLACE)
OPEN = (CA_PLACE, STORE_CA_PLACE)


@dataclass(frozen=True)
class Forming:
    """The first server makes a store of so many `servers`, and only `until` then."""

    until: datetime
    servers: int


@dataclass(frozen=True)
class ClusterSettings:
    """`servers`: where servers are found; `address`: at which they find this one, "" when it is not said;
    `replace_after`: seconds; `reboot_group`: "" for its role's; `storage`: where snapshots are put besides.
    """

    name: str
    role: Role
    servers: tuple[str, ...]
    address: str = ""
    replace_after: float = 300.0
    form: Forming | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, int] = field(default_factory=dict)
    oidc: OidcSettings | None = None
    reboot_group: str = ""
    snapshots: Schedule = field(default_factory=Schedule)
    storage: S3Address | None = None


def load(top: Path = Path("/")) -> ClusterSettings:
    """The settings of this machine. Raises Missing when it is in no cluster, BadInput, naming file and key."""
    path = top / SETTINGS_PLACE.lstrip("/")
    try:
        return parse(_text(path).encode())
    except FileNotFoundError:
        raise Missing(
            "this machine is in no cluster: its configuration has no `cluster`",
            hint="`orlop cluster new` writes a configuration for each kind of machine",
        ) from None
    except BadInput as e:
        raise BadInput(f"{path}: {e.message}", hint=e.hint or _HINT) from None


def parse(raw: bytes) -> ClusterSettings:
    """Raises BadInput, naming the key."""
    try:
        values = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as e:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise BadInput(f"it is not TOML: {e}") from None
    if (written := Fields.of("", values).value("format", int)) != table.FORMAT:
        raise BadInput(f"format is {written}, and this version of Orlop reads format {table.FORMAT}")
    given = read(table.PLAIN_TABLE, Fields("", {name: value for name, value in values.items() if name != "format"}))
    form, snapshots = given[table.FORM], given[table.SNAPSHOTS]
    schedule, storage = Schedule(), None
    if snapshots:
        schedule = Schedule(timedelta(seconds=snapshots[table.EVERY]), snapshots[table.KEEP])
        storage = snapshots[table.TO]
    if not given[table.SERVERS]:
        raise BadInput("servers is empty: a machine of a cluster must know where servers are")
    return ClusterSettings(
        name=given[table.NAME],
        role=Role(given[table.ROLE]),
        servers=given[table.SERVERS],
        address=given[table.OWN_ADDRESS] or "",
        replace_after=given[table.REPLACE_AFTER],
        form=Forming(form[table.UNTIL], form[table.SIZE]) if form else None,
        metadata=dict(pair.split("=") for pair in given[table.METADATA]),
        resources={name: int(count) for name, _, count in (pair.partition("=") for pair in given[table.RESOURCES])},
        oidc=_oidc(given[table.OIDC]),
        reboot_group=given[table.REBOOT_GROUP] or "",
        snapshots=schedule,
        storage=storage,
    )


def _oidc(given: SettingValues | None) -> OidcSettings | None:
    """`oidc`: issuer, audience, claim, name, provider_ca, and admins, operators, auditors, viewers by their role."""
    if given is None:
        return None
    roles = {Access(setting.name.removesuffix("s")): given[setting] for setting in table.GROUPS}
    return OidcSettings(
        given[table.ISSUER], given[table.AUDIENCE], roles, given[table.CLAIM], given[table.PERSON],
        given[table.PROVIDER_CA] or "",
    )  # fmt: skip


def secret(place: str, top: Path = Path("/")) -> str:
    """A key, the token or `storage_key`, by its place: what systemd handed over, or for root the file itself.

    Raises Missing.
    """
    assert place in SECRET
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return _there(Path(folder) / Path(place).name if folder else top / place.lstrip("/"))


def certificate(place: str, top: Path = Path("/")) -> str:
    """`ca` or `store_ca`, by its place. Raises Missing."""
    assert place in OPEN
    return _there(top / place.lstrip("/"))


def _there(path: Path) -> str:
    try:
        return _text(path)
    except FileNotFoundError:
        raise Missing(f"{path} is not there", hint=_HINT) from None


def _text(path: Path) -> str:
    """Raises FileNotFoundError, BadInput."""
    try:
        with path.open("rb") as f:
            raw = f.read(LARGEST + 1)
        if len(raw) <= LARGEST:
            return raw.decode()
    except FileNotFoundError:
        raise
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror}", hint=_HINT) from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not text", hint=_HINT) from None
    raise BadInput(f"{path} has more than {LARGEST} bytes", hint=_HINT)
