"""Each file of the finished tree with the component it comes from: dpkg's lists say it, and for what the build moved,
unpacked or compiled, the name it had before.

Lifetime: one a build. It is made of the tree as the packages were installed, and asked when everything has been done to
it. Invariant: no ELF file and no Python module is in an image without a component; a build that would make such an
image fails and names the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from orlop.errors import BadInput
from orlop.image import roots, runtime
from orlop.image.contents import licences
from orlop.image.contents.debian import DOC, Installed, installed
from orlop.image.contents.python import PythonPackage, third_party
from orlop.image.contents.texts import Texts, read_common
from orlop.image.elf import is_elf
from orlop.image.inspect import sha256
from orlop.image.prune import walk
from orlop.image.seal import LOADER, ON_ESP
from orlop.model.contents.contents import Component, File, ImageContents
from orlop.model.words.version import Version
from orlop.workspace import Workspace

OWN = "orlop"
LICENCE = "Apache-2.0"
FACTORY = "usr/share/factory/"
MODULES = (".py", ".pyc")
# where a file of a package is in the image, when that is not where its package put it
MOVED = {
    "usr/lib/orlop/ignition/ignition": "usr/lib/dracut/modules.d/30ignition/ignition",
    f"{roots.ETCD_PLACE}/{roots.ETCD}": roots.ETCD,
}
# what a package is in the image for, where that is not a file of its own but one made when it was installed
SYSTEMD_RUN = "usr/lib/orlop/podman/systemd-run.systemd"  # before it stands a script of ours, which says why
MADE_BY = {"etc/ssl/certs/ca-certificates.crt": "ca-certificates", SYSTEMD_RUN: "systemd"}


@dataclass(frozen=True)
class Collector:
    """`overlaid`: the files of os/mkosi.extra; `boot`: the packages that the loader and the UKI's stub come from, which
    are the SDK's; `common`: the texts that Debian has once for all packages.
    """

    packages: Installed
    boot: Installed
    python: Mapping[str, PythonPackage]
    overlaid: frozenset[str]
    common: Mapping[str, str]
    own_licence: str

    @classmethod
    def read(cls, ws: Workspace, tree: Path) -> Collector:
        """Of a tree as its packages were installed. Raises BadInput."""
        extra = ws.os_tree / "mkosi.extra"
        return cls(
            packages=installed(tree),
            boot=installed(ws.sdk),
            python={package.component.name: package for package in third_party()},
            overlaid=frozenset(str(path.relative_to(extra)) for path in walk(extra) if not path.is_dir()),
            common=read_common(tree),
            own_licence=(ws.root / "LICENSE").read_text(encoding="utf-8"),
        )

    def component_of(self, path: str) -> str:
        """The key of the component that a file of the tree comes from, or "" when the build made it."""
        if path.startswith(f"{runtime.PLACE}/"):
            path = path.removeprefix(f"{runtime.PLACE}/")
            if path.startswith(f"{runtime.LIBRARY}/"):
                package = path.removeprefix(f"{runtime.LIBRARY}/").partition("/")[0]
                if package == OWN:
                    return f"own:{OWN}"
                if package in self.python:
                    return self.python[package].component.key
                path = path.removesuffix("c") if path.endswith(".pyc") else path
        path = path.removeprefix(f"{roots.ETCD_PLACE}/")
        if path.startswith(FACTORY):
            path = path.removeprefix(FACTORY)
        if path.startswith(f"{DOC}/"):
            return self._documented.get(path.split("/")[3], "")
        if path in self.overlaid:
            return f"own:{OWN}"
        path = f"{path}.xz" if path.endswith(".ko") else path
        name = self.packages.owners.get(MOVED.get(path, path)) or MADE_BY.get(path)
        return f"deb:{name}" if name else ""

    @cached_property
    def _documented(self) -> dict[str, str]:
        """Name of a folder of texts → whose they are."""
        found = {name: f"deb:{name}" for name in (*self.packages.components, self.loader)}
        found |= {_python_folder(name): package.component.key for name, package in self.python.items()}
        return found | {OWN: f"own:{OWN}"}

    def contents(self, ws: Workspace, tree: Path, version: Version) -> ImageContents:
        """Everything in the finished tree, and on the ESP. Raises BadInput for a program that is nobody's."""
        files = dict(self._files(tree))
        loader = ws.sdk / LOADER
        for name in ON_ESP:
            files[f"efi/{name}"] = File(loader.stat().st_size, sha256(loader), f"deb:{self.loader}")
        components, texts = self._components({f.component for f in files.values() if f.component}, version)
        return ImageContents(version, components, texts, files)

    @property
    def loader(self) -> str:
        """The package that the boot loader and the UKI's stub come from."""
        name = self.boot.owners.get(LOADER)
        if name is None:
            raise BadInput(f"no package of the SDK has {LOADER}", hint="orlop sdk make")
        return name

    def install_texts(self, tree: Path) -> None:
        """Lay into the tree, of which nothing goes any more, the texts of the licences of what is in it."""
        texts = Texts(tree, self.common)
        keys = {self.component_of(str(path.relative_to(tree))) for path in walk(tree) if not path.is_dir()}
        names = {key.partition(":")[2] for key in keys if key.startswith("deb:")}
        for name in sorted({*names, self.loader}):
            texts.add(name, {"copyright": self._copyright(name)})
        for package in self.python.values():
            texts.add(_python_folder(package.component.name), package.texts)
        texts.add(OWN, {"LICENSE": self.own_licence})

    def _copyright(self, name: str) -> str:
        """The copyright file of a package, or of another one from the same source: the SDK keeps none."""
        packages = {**self.boot.components, **self.packages.components}
        source = packages[name].source
        names = [name, *(n for n, c in packages.items() if source and c.source and c.source.name == source.name)]
        return next((text for n in names if (text := self.packages.copyrights.get(n))), "")

    def _files(self, tree: Path) -> Iterator[tuple[str, File]]:
        for path in walk(tree / "usr"):
            name = str(path.relative_to(tree))
            if path.is_symlink():
                yield name, File(0, f"→ {os.readlink(path)}", self.component_of(name))
            elif path.is_file():
                component = self.component_of(name)
                if not component and (path.suffix in MODULES or is_elf(path)):
                    raise BadInput(
                        f"nobody knows where /{name} comes from: it is in no package's list, and not in os/mkosi.extra",
                        hint="what the build moved belongs in MOVED of orlop/image/contents/collect.py",
                    )
                yield name, File(path.stat().st_size, sha256(path), component)

    def _components(self, keys: Iterable[str], version: Version) -> tuple[tuple[Component, ...], dict[str, str]]:
        found: list[Component] = []
        texts: dict[str, str] = {}
        for key in sorted({*keys, f"own:{OWN}", *(package.component.key for package in self.python.values())}):
            kind, _, name = key.partition(":")
            if kind == "own":
                found.append(Component("own", OWN, str(version), LICENCE))
            elif kind == "pypi":
                found.append(self.python[name].component)
                texts |= self.python[name].licence.texts
            else:
                component = (self.boot if name == self.loader else self.packages).components[name]
                source = component.source.name if component.source else name
                licence = licences.of_copyright(self._copyright(name), source)
                found.append(replace(component, licence=licence.expression))
                texts |= licence.texts
        return tuple(found), texts


def _python_folder(name: str) -> str:
    return f"python-{name}"
