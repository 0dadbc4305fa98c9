"""The demo on a node: a second disk with the demo image, and the units that pull it from there and run it.

Why a disk: the image then comes to a machine that knows no registry and has no network, by podman's own `oci:`
transport. What the units say is Quadlet, as any user of the system would write it.
"""

from __future__ import annotations

from pathlib import Path

from orlop.lab.nodeconfig import NodeConfig
from orlop.lab.qemu import MEDIA_SERIAL
from orlop.oci import demo
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace

PORT = demo.PORT
MOUNT = "/run/media"

_MOUNT_UNIT = f"""\
[Unit]
Description=The lab's media disk

[Mount]
What=/dev/disk/by-id/virtio-{MEDIA_SERIAL}
Where={MOUNT}
Type=erofs
Options=ro,nodev,nosuid,noexec
"""

_IMAGE = f"""\
[Unit]
Description=The demo image, from the media disk
RequiresMountsFor={MOUNT}

[Image]
Image=oci:{MOUNT}:{demo.REF}
ImageTag={demo.REF}
"""

_CONTAINER = f"""\
[Unit]
Description=The demo: a page that names this machine and its operating system

[Container]
Image=demo.image
ContainerName=demo
PublishPort={PORT}:{demo.PORT}
Environment=MACHINE=%H
Volume=/usr/lib/os-release:/run/host-os-release:ro
NoNewPrivileges=true
DropCapability=all

[Service]
Restart=always

[Install]
WantedBy=multi-user.target
"""


def config() -> NodeConfig:
    """What a node needs to run the demo."""
    made = NodeConfig().unit("run-media.mount", _MOUNT_UNIT)
    return made.quadlet("demo.image", _IMAGE).quadlet("demo.container", _CONTAINER)


def make_media(ws: Workspace, steps: Steps, media: Path) -> None:
    """Write the media disk: an erofs of the demo image's OCI layout. Needs the SDK."""
    layout = demo.ensure(ws, steps)
    argv = ["mkfs.erofs", "--quiet", "--all-root", "-T0", str(media), str(layout)]
    sdk_run(ws, argv, what="making the media disk", timeout=120)
