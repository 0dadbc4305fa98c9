"""Build a version of the OS: `orlop image build`.

A version's folder appears under `.orlop/images` whole or not at all, and is never changed afterwards. `latest` points
to the newest. A build whose inputs equal those of the latest image returns that one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from orlop.errors import BadInput, Missing
from orlop.files import locked, made_beside, need_space, remove_tree, write_atomic
from orlop.image import keys, runtime
from orlop.image.factory import make_factory, only_usr
from orlop.image.index import make_index, write_index
from orlop.image.initrd import make_initrd, unpack_modules
from orlop.image.inspect import describe
from orlop.image.prune import packages_left, prune, strip_setuid, walk
from orlop.image.seal import Sealed, keep_command_line, make_disk, make_uki, seal_usr
from orlop.image.tree import make_tree
from orlop.model.version import Version
from orlop.sdk.tree import ensure, wanted_key
from orlop.steps import Steps
from orlop.workspace import Workspace

NEEDED_BYTES = 4_000_000_000
MANIFEST = "manifest.json"
LATEST = "latest"
IGNITION = "usr/lib/dracut/modules.d/30ignition/ignition"  # where Debian keeps it, for another initrd than ours


def build(
    ws: Workspace, steps: Steps, version: Version | None = None, *, clean: bool = False, root: Path | None = None
) -> Path:
    """Return the folder of the image, building it if its inputs changed or `version` is a new one.

    `clean` starts from no cached packages tree; `root` is a file with the root keys of a release repository
    (`orlop.image.keys` says where they come from else). Raises BadInput (the version exists with other content, the
    keys are none), NoSpace, Busy, CommandFailed.
    """
    trusted = keys.find(ws, root)
    ensure(ws, steps)
    with locked(ws.state / "image.lock", "the image builder"):
        key = input_key(ws, trusted)
        have = latest(ws)
        if have and not clean and manifest(have)["inputs"] == key and version in (None, Version.parse(have.name)):
            steps.note(f"image {have.name} is up to date")
            return have
        version = version or next_version(ws)
        if (ws.images / str(version)).exists():
            raise BadInput(
                f"image {version} exists already, and a version is never changed",
                hint=f"choose another version, or remove it first: orlop image rm {version}",
            )
        if clean:
            for name in ("mkosi-os", "mkosi-packages"):
                remove_tree(ws.cache / name)
        need_space(ws.state, NEEDED_BYTES, "building the image")
        with steps.step(f"Building image {version}"), made_beside(ws.images / str(version)) as folder:
            make_image(ws, steps, folder, version, key, trusted=trusted)
        _point_latest(ws, version)
    return ws.images / str(version)


def make_image(
    ws: Workspace,
    steps: Steps,
    folder: Path,
    version: Version,
    key: str,
    *,
    packages_from: str = "os",
    args: Sequence[str | Path] = (),
    trusted: bytes | None = None,
) -> Sealed:
    """Make every artifact of `version` in `folder`, which exists and is empty.

    `args` are further mkosi options, `packages_from` the name of the cache of a packages tree that is made with them;
    `trusted` the root keys of a release repository.
    """
    work = folder / "work"
    work.mkdir()
    with steps.step("Installing packages"):
        made = make_tree(ws, ws.os_tree, work / "mkosi", epoch=version.epoch, name=packages_from, args=args)
    tree = made.root
    kernel = kernel_release(tree)
    build_id = hashlib.sha256(f"{key} {made.packages}".encode()).hexdigest()[:16]
    with steps.step("Making the Python tree of the node's programs"):
        python = runtime.install(ws, tree)
    with steps.step("Removing what nothing uses"):
        shutil.copy2(tree / "usr/lib/modules" / kernel / "vmlinuz", work / "vmlinuz")
        os.rename(tree / IGNITION, tree / "usr/lib/orlop/ignition/ignition")
        unpack_modules(ws, tree, kernel)
        prune(tree, ws.os_tree / "prune")
        strip_setuid(tree)
        runtime.link_libraries(tree)
        if trusted is not None:
            keys.install(tree, trusted)
        packages = packages_left(tree, made.packages)
    with steps.step(f"Making the initrd for Linux {kernel}"):
        initrd = work / "initrd.cpio.zst"
        release = tree / "usr/lib/os-release"
        make_initrd(ws, tree, kernel, initrd, epoch=version.epoch, work=work)
    with steps.step("Sealing /usr"):
        keep_command_line(ws, tree)
        make_factory(tree, ws.os_tree / "prune", version, build_id)
        only_usr(tree)
        sealed = seal_usr(ws, tree, folder, version)
    with steps.step("Making the UKI and the disk"):
        make_uki(ws, sealed, kernel=work / "vmlinuz", release=kernel, initrd=initrd, os_release=release)
        make_disk(ws, sealed, work)
    with steps.step("Describing the image"):
        write_index(folder, make_index(folder, version, sealed.roothash))
        about = describe(ws, tree, sealed, packages, kernel=kernel, inputs=key, build_id=build_id, initrd=initrd)
        about["root_keys"] = hashlib.sha256(trusted).hexdigest() if trusted is not None else None
        about["runtime"] = python | {"bytes": runtime.sealed_bytes(ws, tree, work)}
        write_atomic(folder / MANIFEST, json.dumps(about, indent=2) + "\n")
    remove_tree(work)
    return sealed


def input_key(ws: Workspace, trusted: bytes | None = None) -> str:
    """A hash of all that decides the image, save the archive's own packages.

    That is os/, this package, the Python that goes into the image, `trusted` (the root keys), and the SDK's key.
    """
    digest = hashlib.sha256(wanted_key().encode())
    if trusted is not None:
        digest.update(b"root keys " + trusted)
    for name, path in runtime.sources():
        digest.update(f"{name} {path.stat().st_size}\n".encode() + path.read_bytes())
    for top in (ws.os_tree, Path(__file__).parent):
        for path in walk(top):
            if "__pycache__" in path.parts or (path.is_dir() and not path.is_symlink()):
                continue
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            head = f"{path.relative_to(top)} {path.lstat().st_mode & 0o111:o} {len(content)}\n"
            digest.update(head.encode() + content)
    return digest.hexdigest()


def kernel_release(tree: Path) -> str:
    """The one kernel in the tree. Raises BadInput when there is none, or more than one."""
    found = sorted(p.parent.name for p in tree.glob("usr/lib/modules/*/vmlinuz"))
    if len(found) != 1:
        raise BadInput(f"the image must have one kernel, its packages bring {len(found)}: {', '.join(found) or 'none'}")
    return found[0]


def versions(ws: Workspace) -> list[Version]:
    """Every image that is there, oldest first."""
    there = ws.images.iterdir() if ws.images.is_dir() else ()
    whole = (p for p in there if not p.is_symlink() and not p.name.startswith(".") and (p / MANIFEST).is_file())
    return sorted(Version.parse(p.name) for p in whole)


def next_version(ws: Workspace) -> Version:
    """Today's next number."""
    today = datetime.now(UTC).date()
    return Version(today, max((v.number for v in versions(ws) if v.day == today), default=0) + 1)


def latest(ws: Workspace) -> Path | None:
    """The folder of the image built last, or None."""
    link = ws.images / LATEST
    return link.resolve() if (link / MANIFEST).is_file() else None


def find(ws: Workspace, version: str | None) -> Path:
    """The folder of the image `version`, or of the latest. Raises Missing."""
    folder = ws.images / str(Version.parse(version)) if version else latest(ws)
    if folder is None or not (folder / MANIFEST).is_file():
        have = ", ".join(map(str, versions(ws))) or "none"
        raise Missing(
            f"there is no image {version}" if version else "no image has been built",
            hint=f"orlop image build (there are: {have})",
        )
    return folder


def manifest(folder: Path) -> dict[str, object]:
    """What `describe` wrote for the image in `folder`. Raises BadInput when it cannot be read."""
    try:
        about = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as e:
        raise BadInput(
            f"the image in {folder} is damaged: {MANIFEST} cannot be read ({e})",
            hint=f"orlop image rm {folder.name}, then orlop image build",
        ) from None
    if not isinstance(about, dict):
        raise BadInput(f"the image in {folder} is damaged: {MANIFEST} holds no object")
    return about


def remove(ws: Workspace, version: Version) -> None:
    """Remove an image; `latest` then points to the newest that is left. Raises Missing."""
    with locked(ws.state / "image.lock", "the image builder"):
        remove_tree(find(ws, str(version)))
        left = versions(ws)
        if left:
            _point_latest(ws, left[-1])
        else:
            remove_tree(ws.images / LATEST)


def _point_latest(ws: Workspace, version: Version) -> None:
    fresh = ws.images / ".making-latest"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(str(version))
    os.rename(fresh, ws.images / LATEST)
