"""The demo on a node: a second disk with the demo image, and the units that pull it from there and run it.

Why a disk: the image then comes to a machine that knows no registry and has no network, by podman's own `oci:`
transport. What the units say is Quadlet, as any user of the system would write it.
"""

from __future__ import annotations

import html
import re
import time
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

from orlop.errors import TimedOut
from orlop.lab.nodeconfig import NodeConfig
from orlop.machines.ports import LOOPBACK
from orlop.net.dial import Patience
from orlop.net.errors import NetError
from orlop.net.exchange import Client
from orlop.oci import demo
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace

PORT = demo.PORT
LARGEST_PAGE = 1 << 20  # bytes
MOUNT = "/run/media"
MEDIA_SERIAL = "orlop-media"

_MOUNT_UNIT = f"""\
[Unit]
Description=The lab's media disk
# ordered by who needs it; nothing else of the boot waits for this disk
DefaultDependencies=no
Conflicts=umount.target
Before=umount.target

[Mount]
What=/dev/disk/by-id/virtio-{MEDIA_SERIAL}
Where={MOUNT}
Type=erofs
Options=ro,nodev,nosuid,noexec
"""

_CONTAINER = f"""\
[Unit]
Description=The demo: a page that names this machine and its operating system
RequiresMountsFor={MOUNT}

# nothing here needs a network to be up, which Quadlet would wait for
[Quadlet]
DefaultDependencies=false

[Container]
Image=oci:{MOUNT}:{demo.REF}
ContainerName=demo
Network=host
Environment=MACHINE=%H
Volume=/usr/lib/os-release:/run/host-os-release:ro
NoNewPrivileges=true
DropCapability=all

[Service]
Restart=always

[Install]
WantedBy=multi-user.target
"""


def config(*, has_disk: bool = True) -> NodeConfig:
    """What a node needs to run the demo. `has_disk`: its image comes on a disk; else it is laid at the same place."""
    node_config = NodeConfig().unit("run-media.mount", _MOUNT_UNIT) if has_disk else NodeConfig()
    return node_config.quadlet("demo.container", _CONTAINER)


def make_media(ws: Workspace, steps: Steps, media: Path) -> None:
    """Write the media disk: an erofs of the demo image's OCI layout. Needs the SDK."""
    layout = demo.ensure(ws, steps)
    argv = ["mkfs.erofs", "--quiet", "--all-root", "-T0", str(media), str(layout)]
    sdk_run(ws, argv, what="making the media disk", timeout=120)


def fetch(port: int, path: str = "/", *, timeout: float) -> str:
    """Ask the web server behind this port of the loopback until it answers 200, and return the body.

    Raises TimedOut after `timeout` seconds, with what it last did instead.
    """
    until = time.monotonic() + timeout
    last = "nothing was asked"
    while (left := until - time.monotonic()) > 0:
        with closing(Client(Patience(max(1.0, min(left, 10.0))), direct=True)) as client:
            try:
                answer = client.ask(f"http://{LOOPBACK}:{port}{path}")
                body = answer.whole(LARGEST_PAGE).decode(errors="replace")
            except NetError as e:
                last = e.message
            else:
                if answer.status == HTTPStatus.OK:
                    return body
                last = f"it answered {answer.status}"
        time.sleep(0.2)
    raise TimedOut(
        f"http://{LOOPBACK}:{port}{path} did not answer within {timeout:.0f} s (last: {last})",
        hint="`orlop lab exec n1 -- journalctl -u demo` shows what the container does",
    )


def sentence(page: str) -> str:
    """What the demo's page says, without its markup; else its first line."""
    m = re.search(r"<p>(.*?)</p>", page, re.DOTALL)
    text = m[1] if m else page.strip().partition("\n")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())
