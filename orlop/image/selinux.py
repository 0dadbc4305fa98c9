"""SELinux in the image: compile the policy of os/selinux, put it into the tree, say how /usr is to be labelled.

Every image has the policy and the labels; whether a machine enforces them is said by two words of the signed kernel
command line, which the file os/selinux/mode decides: the one owner of that choice.

Invariants: version 33 is what Linux 6.12 reads, and nothing in the image could convert another. `neverallow` rules say
what no rule may give (os/selinux/policy/90-never.cil), and the compiler ends the build when one does. The same sources
give the same bytes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import remove_tree
from orlop.image.policy import below_usr, enforced, expand, facts
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace

NAME = "orlop"
PLACE = Path("usr/share/selinux")
LINK = "../usr/share/selinux"  # what /etc/selinux is: nothing to copy at boot, and only the image says what is in it
VERSION = 33
POLICY = f"policy/policy.{VERSION}"
FILE_CONTEXTS = "contexts/files/file_contexts"
LABELS = "labels"  # names this set of labels: a machine whose /var has another is labelled anew


class SELinuxMode(StrEnum):
    """What a machine of the image does with the policy."""

    OFF = "off"
    ENFORCING = "enforcing"


def mode(ws: Workspace) -> SELinuxMode:
    """What os/selinux/mode says. Raises BadInput."""
    path = ws.os_tree / "selinux/mode"
    words = [line.split("#", 1)[0].strip() for line in path.read_text().split("\n")]
    said = [word for word in words if word]
    if len(said) != 1 or said[0] not in set(SELinuxMode):
        known = " or ".join(SELinuxMode)
        raise BadInput(f"{path}: must say {known}, and says {' '.join(said) or 'nothing'}")
    return SELinuxMode(said[0])


def arguments(words: Sequence[str], selinux: SELinuxMode) -> list[str]:
    """The kernel command line's words in this mode."""
    return enforced(words) if selinux is SELinuxMode.ENFORCING else list(words)


def sources(ws: Workspace) -> list[tuple[str, str]]:
    """The policy as the compiler is given it: name and text of each file, in order. Raises BadInput."""
    top = ws.os_tree / "selinux"
    told = [("facts.cil", facts((top / "classes").read_text(), (top / "sids").read_text()))]
    return told + [
        (p.name, expand(p.read_text(), source=f"os/selinux/policy/{p.name}"))
        for p in sorted((top / "policy").glob("*.cil"))
    ]


def compile_policy(ws: Workspace, work: Path, more: Sequence[tuple[str, str]] = ()) -> Path:
    """Compile the policy, with further modules if any, in `work`; returns the file that PID 1 loads.

    Raises CommandFailed: a rule does what a `neverallow` forbids, or is no valid CIL.
    """
    work.mkdir(parents=True, exist_ok=True)
    files = []
    for name, text in (*sources(ws), *more):
        (work / name).write_text(text)
        files.append(work / name)
    out = work / f"policy.{VERSION}"
    sdk_run(
        ws,
        ["secilc", "-v", "-M", "true", "-c", str(VERSION), "-O", "-o", out, "-f", "/dev/null", *files],
        what="compiling the SELinux policy",
        binds=[work],
        hint="a line 'neverallow check failed' names the rule that gives what os/selinux/policy/90-never.cil forbids",
    )
    return out


def install(ws: Workspace, tree: Path, work: Path) -> None:
    """Put the policy, its contexts and the link from /etc into the tree. Raises CommandFailed, BadInput."""
    top, place = ws.os_tree / "selinux", tree / PLACE
    remove_tree(place)
    own = place / NAME
    (own / "policy").mkdir(parents=True)
    compiled = compile_policy(ws, work)
    shutil.copyfile(compiled, own / POLICY)
    shutil.copytree(top / "contexts", own / "contexts")
    (own / FILE_CONTEXTS).parent.mkdir()
    shutil.copyfile(top / "file_contexts", own / FILE_CONTEXTS)
    shutil.copyfile(top / "seusers", own / "seusers")
    shutil.copyfile(top / "config", place / "config")
    digest = hashlib.sha256((top / "file_contexts").read_bytes()).hexdigest()
    (own / LABELS).write_text(digest[:16] + "\n")
    for path in place.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    check_contexts(ws, compiled, own / FILE_CONTEXTS, work)
    etc = tree / "etc/selinux"
    remove_tree(etc)
    etc.symlink_to(LINK)


def check_contexts(ws: Workspace, policy: Path, contexts: Path, work: Path) -> None:
    """Every label of the file contexts is one that the policy has. Raises CommandFailed."""
    sdk_run(
        ws,
        ["sefcontext_compile", "-p", policy, "-o", work / "file_contexts.bin", contexts],
        what="checking the SELinux labels of files",
        binds=[work, policy.parent, contexts.parent],
    )


def label_words(usr: Path, work: Path) -> list[str]:
    """The words with which mkfs.erofs labels a /usr as the policy in it says; it needs no privileges for that."""
    contexts = usr / PLACE.relative_to("usr") / NAME / FILE_CONTEXTS
    if not contexts.exists():  # an image of before
        return []
    file = work / "erofs_contexts"
    file.write_text(below_usr(contexts.read_text()))
    return [f"--file-contexts={file}"]
