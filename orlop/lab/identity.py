"""What the machines of a lab are told apart by: addresses and a UUID, which follow from the lab and their number. Pure.

`born`: the folder of the lab in which a machine was first made. It keeps what follows from it when it is saved and
restored in another lab, since the system in it knows it by that.
"""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

from orlop.lab.nodeconfig import PRIVATE_NETWORK, PRIVATE_NETWORK6


def mac(lab: str, index: int, nic: int) -> str:
    """A locally administered address: the same for a node of the same name, different between labs."""
    h = hashlib.sha256(lab.encode()).digest()
    return f"52:54:{nic:02x}:{h[0]:02x}:{h[1]:02x}:{index:02x}"


def private_ip(index: int, *, is_ipv6: bool = False) -> str:
    """A node's address on the lab's private network."""
    return f"{PRIVATE_NETWORK6}::{10 + index}" if is_ipv6 else f"{PRIVATE_NETWORK}.{10 + index}"


def uuid_of(born: Path, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"orlop:{born / name}"))
