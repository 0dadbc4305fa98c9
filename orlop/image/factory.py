"""Turn an installed tree into one whose root is made anew at every boot.

`/etc` becomes `/usr/share/factory/etc`, from which the initrd assembles it; what only a package manager or another
root's life would need is left behind, because only `/usr` is in the image.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from orlop.files import remove_tree
from orlop.image.prune import read_list
from orlop.model.words.version import Version

NAME = "Orlop"
ETC_REMOVE = "etc.list"
SYSEXT_LEVEL = 1  # a system extension that names it fits every version; raised when that is no longer true


def os_release(version: Version, build_id: str) -> str:
    """/usr/lib/os-release, see os-release(5)."""
    return (
        f'NAME="{NAME}"\n'
        "ID=orlop\n"
        "ID_LIKE=debian\n"
        f'PRETTY_NAME="{NAME} {version}"\n'
        f'VERSION="{version}"\n'
        f"VERSION_ID={version}\n"
        f"BUILD_ID={build_id}\n"
        "IMAGE_ID=orlop\n"
        f"IMAGE_VERSION={version}\n"
        "DEFAULT_HOSTNAME=orlop\n"
        f"SYSEXT_LEVEL={SYSEXT_LEVEL}\n"
    )


def initrd_release() -> str:
    """The same for the initrd. It says no version: the UKI does, and an initrd that did would change with each."""
    return f'NAME="{NAME}"\nID=orlop\nID_LIKE=debian\nPRETTY_NAME="{NAME}\'s initrd"\nIMAGE_ID=orlop\n'


def make_factory(tree: Path, lists: Path, version: Version, build_id: str) -> None:
    """Move /etc to the factory tree and write what says which system this is."""
    etc = tree / "etc"
    for pattern in read_list(lists / ETC_REMOVE):
        for path in sorted(etc.glob(pattern)):
            remove_tree(path)
    _shells(etc)
    _certificates(etc)
    release = tree / "usr/lib/os-release"
    release.write_text(os_release(version, build_id))
    for link, target in (
        ("os-release", "../usr/lib/os-release"),
        ("resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
        ("mtab", "../proc/self/mounts"),
        ("localtime", "../usr/share/zoneinfo/UTC"),
    ):
        remove_tree(etc / link)
        if link != "localtime" or (tree / "usr/share/zoneinfo/UTC").exists():
            (etc / link).symlink_to(target)
    factory = tree / "usr/share/factory/etc"
    remove_tree(factory)
    factory.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(etc, factory)


def _shells(etc: Path) -> None:
    """There is one shell."""
    passwd = etc / "passwd"
    passwd.write_text(passwd.read_text().replace(":/bin/bash\n", ":/bin/sh\n"))
    (etc / "shells").write_text("/bin/sh\n/usr/bin/sh\n")


def _certificates(etc: Path) -> None:
    """Only the bundle is read by what is in the image; the hundreds of links to single certificates go."""
    certs = etc / "ssl/certs"
    for path in certs.iterdir() if certs.is_dir() else ():
        if path.name != "ca-certificates.crt":
            path.unlink()


def only_usr(tree: Path) -> None:
    """Leave nothing but /usr: the rest of a root is made at boot."""
    for entry in os.scandir(tree):
        if entry.name != "usr":
            remove_tree(Path(entry.path))
