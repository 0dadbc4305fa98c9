"""Build a version of the OS: `orlop image build`.

A version's folder appears under `.orlop/images` whole or not at all, and is never changed afterwards. `latest` points
to the newest. A build whose inputs equal those of the latest image returns that one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from orlop.built import latest, point_latest, read_manifest, versions, write_contents, write_manifest
from orlop.errors import BadInput
from orlop.files import locked, made_beside, need_space, remove_tree, usual_umask
from orlop.image import keys, nodes, roots, runtime, selinux, sources, zones
from orlop.image.apart import set_apart
from orlop.image.contents.collect import MOVED, SYSTEMD_RUN, Collector
from orlop.image.factory import make_factory, only_usr
from orlop.image.index import make_index, write_index
from orlop.image.initrd import make_initrd, unpack_modules
from orlop.image.inspect import describe
from orlop.image.prune import prune, read_list, strip_setuid, walk
from orlop.image.seal import Sealed, keep_command_line, make_disk, make_uki, seal_usr
from orlop.image.tree import make_tree
from orlop.model.words.version import Version
from orlop.sdk.tree import ensure, wanted_key
from orlop.steps import Steps
from orlop.workspace import Workspace

NEEDED_BYTES = 4_000_000_000


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
    key = input_key(ws, trusted)
    if not clean and (have := _up_to_date(ws, key, version)):  # whoever only asks holds up nobody
        steps.note(f"image {have.name} is up to date")
        return have
    with locked(ws.state / "image.lock", "the image builder"):
        if not clean and (have := _up_to_date(ws, key, version)):
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
        point_latest(ws, version)
    return ws.images / str(version)


def _up_to_date(ws: Workspace, key: str, version: Version | None) -> Path | None:
    """The newest image when it was made from these inputs, and is the version that is asked for if any is."""
    have = latest(ws)
    if have is None or version not in (None, Version.parse(have.name)):
        return None
    with contextlib.suppress(BadInput):  # a damaged one is not what anybody wants
        if read_manifest(have).inputs == key:
            return have
    return None


@usual_umask()
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
        package_tree = make_tree(ws, ws.os_tree, work / "mkosi", epoch=version.epoch, name=packages_from, args=args)
    tree = package_tree.root
    made_of = sources.made_of(ws.root)
    kernel = kernel_release(tree)
    collector = Collector.read(ws, tree)
    build_id = hashlib.sha256(f"{key} {package_tree.packages}".encode()).hexdigest()[:16]
    with steps.step("Making the Python tree of the node's programs"):
        python = runtime.install(ws, tree)
    with steps.step("Removing what nothing uses"):
        shutil.copy2(tree / "usr/lib/modules" / kernel / "vmlinuz", work / "vmlinuz")
        _move(tree)
        unpack_modules(ws, tree, kernel, read_list(ws.os_tree / "prune" / "modules.list"))
        nodes.write(tree, kernel)
        set_apart(tree)
        prune(tree, ws.os_tree / "prune")
        zones.check(tree)
        strip_setuid(tree)
        runtime.link_libraries(tree)
        roots.finish_etcd(tree)
        if trusted is not None:
            keys.install(tree, trusted)
    with steps.step(f"Making the initrd for Linux {kernel}"):
        initrd = work / "initrd.cpio.zst"
        release = tree / "usr/lib/os-release"
        make_initrd(ws, tree, kernel, initrd, epoch=version.epoch, work=work)
    with steps.step("Sealing /usr"):
        keep_command_line(ws, tree)
        selinux.install(ws, tree, work / "selinux")
        make_factory(tree, ws.os_tree / "prune", version, build_id)
        only_usr(tree)
        collector.install_texts(tree)
        sealed = seal_usr(ws, tree, folder, version)
    with steps.step("Making the UKI and the disk"):
        make_uki(ws, sealed, kernel=work / "vmlinuz", release=kernel, initrd=initrd, os_release=release)
        make_disk(ws, sealed, work)
    with steps.step("Describing the image"):
        sources.write(folder, made_of)
        contents = collector.contents(ws, tree, version)
        write_index(folder, make_index(folder, version, sealed.root_hash, etcd=contents.version_of(roots.ETCD_PACKAGE)))
        write_contents(folder, contents)
        about = describe(ws, tree, sealed, contents, kernel=kernel, inputs=key, build_id=build_id, initrd=initrd)
        about["root_keys"] = hashlib.sha256(trusted).hexdigest() if trusted is not None else None
        about["runtime"] = python | {"bytes": runtime.sealed_bytes(ws, tree, work)}
        write_manifest(folder, about)
    remove_tree(work)
    return sealed


def _move(tree: Path) -> None:
    """Give programs of packages another place; systemd-run is one that a script of ours stands before."""
    for path, packaged in MOVED.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        os.rename(tree / packaged, tree / path)
    asked = tree / "usr/bin/systemd-run"
    os.rename(asked, tree / SYSTEMD_RUN)
    asked.symlink_to("../lib/orlop/podman/systemd-run")


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
    releases = sorted(p.parent.name for p in tree.glob("usr/lib/modules/*/vmlinuz"))
    if len(releases) != 1:
        raise BadInput(
            f"the image must have one kernel, its packages bring {len(releases)}: {', '.join(releases) or 'none'}"
        )
    return releases[0]


def next_version(ws: Workspace) -> Version:
    """Today's next number."""
    today = datetime.now(UTC).date()
    return Version(today, max((v.number for v in versions(ws) if v.day == today), default=0) + 1)
