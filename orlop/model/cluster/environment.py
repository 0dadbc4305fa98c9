"""What etcd is told: its options, as the environment of its unit. Pure.

Election and heartbeat are etcd's own, 1 s and 0.1 s: quicker ones elect when a disk is slow for a moment. Only TLS 1.3
is spoken, and only to certificates of the store's CA.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orlop.model.cluster.member import Member
from orlop.model.cluster.names import (
    CA_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    PEER_PORT,
    STORE_PORT,
    STORE_STATE,
    STORE_TLS,
    url,
)

QUOTA_BYTES = 2 << 30  # at which etcd takes no more writes


@dataclass(frozen=True)
class MemberOptions:
    """`others`: the members that there are, when it joins them; none when it makes a store."""

    cluster: str
    name: str
    address: str
    others: tuple[Member, ...] = ()
    joins: bool = False


def environment(start: MemberOptions) -> dict[str, str]:
    client, peer = url(start.address, STORE_PORT), url(start.address, PEER_PORT)
    tls = {
        "CERT_FILE": f"{STORE_TLS}/{CERTIFICATE_FILE}",
        "KEY_FILE": f"{STORE_TLS}/{KEY_FILE}",
        "TRUSTED_CA_FILE": f"{STORE_TLS}/{CA_FILE}",
        "CLIENT_CERT_AUTH": "true",
    }
    return {
        "ETCD_NAME": start.name,
        "ETCD_DATA_DIR": STORE_STATE,
        "ETCD_LISTEN_CLIENT_URLS": ",".join(dict.fromkeys((url("127.0.0.1", STORE_PORT), client))),
        "ETCD_ADVERTISE_CLIENT_URLS": client,
        "ETCD_LISTEN_PEER_URLS": peer,
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer,
        "ETCD_INITIAL_CLUSTER": ",".join(_initial(start, peer)),
        "ETCD_INITIAL_CLUSTER_STATE": "existing" if start.joins else "new",
        "ETCD_INITIAL_CLUSTER_TOKEN": start.cluster,
        **{f"ETCD_{name}": value for name, value in tls.items()},
        **{f"ETCD_PEER_{name}": value for name, value in tls.items()},
        "ETCD_TLS_MIN_VERSION": "TLS1.3",
        "ETCD_LOG_LEVEL": "warn",
        "ETCD_AUTO_COMPACTION_MODE": "periodic",
        "ETCD_AUTO_COMPACTION_RETENTION": "1h",
        "ETCD_QUOTA_BACKEND_BYTES": str(QUOTA_BYTES),
        # a watch that hears nothing for longer than this is dead
        "ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL": "2s",
        # members compare what they have when they start, and with every compaction: a difference is an alarm
        "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK": "true",
        "ETCD_EXPERIMENTAL_COMPACT_HASH_CHECK_ENABLED": "true",
    }


def _initial(start: MemberOptions, peer: str) -> Iterable[str]:
    """Every member as NAME=PEER. etcd wants the whole list of a member that joins, and itself in it by its own name."""
    yield f"{start.name}={peer}"
    for member in start.others:
        if member.peer != peer and member.is_started:
            yield f"{member.name}={member.peer}"
