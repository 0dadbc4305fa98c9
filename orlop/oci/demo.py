"""The demo container image: a static busybox that serves a page naming the machine and its OS.

Why: the first thing a new machine runs must need no registry and no network. Lifetime: `.orlop/demo` stays until
busybox or the files here change; putting the image together takes milliseconds, so what is there is compared with what
would be made, and a damaged copy is made again too.
"""

from __future__ import annotations

from pathlib import Path

from orlop.errors import BadInput, Missing
from orlop.files import locked, made_beside
from orlop.oci.layer import Entry, LayerFile, LayerFolder, LayerLink, layer
from orlop.oci.layout import ImageRun, assemble, read, write
from orlop.steps import Steps
from orlop.workspace import Workspace

REF = "localhost/orlop-demo:latest"
PORT = 8080
NOBODY = 65534
MAKING_SECONDS = 60  # waited for another process that makes it: milliseconds, on a busy disk more
START = Path(__file__).with_name("demo.sh")

# Commands with a name of their own, for a look around: `podman exec demo ps`
_COMMANDS = (
    *("cat", "env", "hostname", "httpd", "id", "ip", "ls", "nc"),
    *("ping", "printf", "ps", "sed", "sh", "sleep", "true", "wget"),
)


def ensure(ws: Workspace, steps: Steps) -> Path:
    """Return the image's OCI layout (`localhost/orlop-demo:latest`), making it first if it is missing or stale.

    Needs the SDK tree. Raises Missing (no SDK) or Busy.
    """
    wanted = contents(_busybox(ws), START.read_bytes())
    if _is_current(ws.demo_image, wanted):
        return ws.demo_image
    with (
        locked(ws.state / "demo.lock", "the demo image", wait=MAKING_SECONDS),
        steps.step("Making the demo container image"),
        made_beside(ws.demo_image) as work,
    ):
        write(wanted, work)
        read(work, REF)
    return ws.demo_image


def contents(busybox: bytes, start: bytes) -> dict[str, bytes]:
    """The layout as {path: content}. Pure: same busybox and start script, same bits."""
    run = ImageRun(
        entrypoint=("/bin/demo",),
        env=(("PATH", "/bin"),),
        user=f"{NOBODY}:{NOBODY}",
        ports=(f"{PORT}/tcp",),
        labels=(
            ("org.opencontainers.image.title", "orlop-demo"),
            ("org.opencontainers.image.description", "A page that names the machine and its operating system"),
        ),
    )
    return assemble([layer(root(busybox, start))], run, ref=REF)


def root(busybox: bytes, start: bytes) -> list[Entry]:
    """What the container sees: one program, its names, one script, and the page's folder."""
    entries: list[Entry] = [
        LayerFile("bin/busybox", busybox, mode=0o755),
        LayerFile("bin/demo", start, mode=0o755),
        LayerFile("etc/passwd", f"root:x:0:0:root:/:/bin/sh\nnobody:x:{NOBODY}:{NOBODY}:nobody:/:/bin/sh\n".encode()),
        LayerFile("etc/group", f"root:x:0:\nnogroup:x:{NOBODY}:\n".encode()),
        LayerFolder("dev"),
        LayerFolder("proc"),
        LayerFolder("run"),
        LayerFolder("sys"),
        LayerFolder("tmp", mode=0o1777),
        LayerFolder("www", uid=NOBODY, gid=NOBODY),
    ]
    return entries + [LayerLink(f"bin/{name}", "busybox") for name in _COMMANDS]


def _is_current(folder: Path, wanted: dict[str, bytes]) -> bool:
    """Whether `folder` holds exactly the wanted image, undamaged."""
    try:
        return (folder / "index.json").read_bytes() == wanted["index.json"] and bool(read(folder, REF))
    except (FileNotFoundError, NotADirectoryError, BadInput, Missing):
        return False


def _busybox(ws: Workspace) -> bytes:
    try:
        return (ws.sdk / "usr" / "bin" / "busybox").read_bytes()
    except FileNotFoundError:
        raise Missing(f"{ws.sdk} holds no busybox", hint="make the SDK first: `make up` does") from None
