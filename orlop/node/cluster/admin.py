"""An administrator on a server: root there has the cluster's keys, so it signs the certificate that lets it in.

The certificate lives for minutes, in a folder that is gone when the command ends. What is done by it is in the audit
log, with the name of the server.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orlop.cluster.settings import certificate, load, secret
from orlop.errors import Missing, NotAllowed
from orlop.model.cluster.access import Access
from orlop.model.cluster.names import (
    CA_FILE,
    CA_KEY_PLACE,
    CA_PLACE,
    CONTROL_PORT,
    Role,
)
from orlop.node.agent.control import ControlClient
from orlop.node.cluster import tls

LIFE = timedelta(minutes=10)


@contextmanager
def control(name: str, top: Path = Path("/"), port: int = CONTROL_PORT) -> Iterator[ControlClient]:
    """The control API as an admin called `name`: this server's own, else another one's. Raises Missing, NotAllowed."""
    settings = load(top)
    if settings.role is Role.WORKER:
        raise Missing("this machine is a worker: it has no key that lets an administrator in", hint="ask a server")
    if os.geteuid():
        raise NotAllowed("this takes root: only root may read the cluster's keys")
    signer = tls.Signer(certificate(CA_PLACE, top), secret(CA_KEY_PLACE, top))
    with tempfile.TemporaryDirectory(prefix="orlop-admin-") as folder:
        place = Path(folder)
        tls.make(place, signer, f"/O=orlop:{Access.ADMIN}/CN={name}", (), datetime.now(UTC), LIFE)
        (place / CA_FILE).write_text(signer.certificate)
        context = tls.context(place)
        yield ControlClient(("127.0.0.1", *settings.servers), port, context)
