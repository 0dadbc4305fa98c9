"""The text of the SELinux policy: from what os/selinux says to what the compiler reads. Pure.

The rules there are CIL (SELinux's own language), with one liberty: a rule may name several types on either side, for
which one rule a pair is written here. What only lists facts (classes with their permissions, 1,024 categories, what the
kernel labels first) is in tables, and becomes CIL here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from orlop.errors import BadInput

CATEGORIES = 1024  # podman takes two of them for each container: 523,776 pairs
CAPABILITIES = (
    "open_perms",
    "extended_socket_class",
    "cgroup_seclabel",
    "nnp_nosuid_transition",
    "network_peer_controls",
    "genfs_seclabel_symlinks",
    "ioctl_skip_cloexec",
)
_SEVERAL = re.compile(
    r"\((allow|auditallow|dontaudit|neverallow)\s+(\([^()]*\)|\S+)\s+(\([^()]*\)|\S+)\s+(.*)\)$", re.DOTALL
)
_CLASS = re.compile(r"(\((?P<common>\w+)\)|(?P<name>\w+)(\((?P<of>\w+)\))?)(\s+(?P<rest>.*))?")


def without_comments(text: str) -> str:
    return re.sub(r";[^\n]*", "", text)


def forms(text: str, *, source: str = "the policy") -> Iterator[str]:
    """The statements of a CIL text without comments, in order. Raises BadInput when its brackets do not match."""
    depth = start = 0
    for at, char in enumerate(text):
        if char == "(":
            start = at if depth == 0 else start
            depth += 1
        elif char == ")":
            depth -= 1
            if depth < 0:
                raise BadInput(f"{source}, line {text.count(chr(10), 0, at) + 1}: this bracket closes nothing")
            if depth == 0:
                yield text[start : at + 1]
    if depth:
        raise BadInput(f"{source}: the statement that begins in line {text.count(chr(10), 0, start) + 1} is not closed")


def expand(text: str, *, source: str = "the policy") -> str:
    """CIL of rules that may name several types on either side. Raises BadInput."""
    lines: list[str] = []
    for form in forms(without_comments(text), source=source):
        if match := _SEVERAL.match(form):
            kind, subjects, targets, what = match.groups()
            lines += [
                f"({kind} {subject} {target} {what})" for subject in _names(subjects) for target in _names(targets)
            ]
        else:
            lines.append(form)
    return "\n".join(lines) + "\n"


def _names(text: str) -> list[str]:
    return text[1:-1].split() if text.startswith("(") else [text]


def classes(table: str) -> tuple[dict[str, list[str]], dict[str, tuple[str, list[str]]]]:
    """The lists of permissions that are shared, and the classes: the name of such a list or "", and what is their own.

    Raises BadInput, with the line.
    """
    shared: dict[str, list[str]] = {}
    known: dict[str, tuple[str, list[str]]] = {}
    permissions: list[str] = []
    for number, line in enumerate(table.split("\n"), 1):
        words = line.split("#", 1)[0].rstrip()
        if not words:
            continue
        if words[0].isspace():
            permissions += words.split()
            continue
        match = _CLASS.fullmatch(words)
        if match is None:
            raise BadInput(f"os/selinux/classes, line {number}: neither a class nor a list of permissions")
        permissions = (match["rest"] or "").split()
        if match["common"]:
            shared[match["common"]] = permissions
        elif match["of"] and match["of"] not in shared:
            raise BadInput(f"os/selinux/classes, line {number}: there is no list ({match['of']}) above it")
        else:
            known[match["name"]] = (match["of"] or "", permissions)
    return shared, known


def initial_labels(table: str) -> list[tuple[str, str]]:
    """What the kernel labels by itself, in its order, with the types."""
    pairs = [line.split("#", 1)[0].split() for line in table.split("\n")]
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def facts(class_table: str, sid_table: str) -> str:
    """The CIL of facts: what may be asked about, categories, the one user, what the kernel labels first."""
    shared, known = classes(class_table)
    lines = ["(handleunknown deny)", "(mls true)", *(f"(policycap {name})" for name in CAPABILITIES)]
    lines += [f"(common {name} ({' '.join(permissions)}))" for name, permissions in shared.items()]
    for name, (of, permissions) in known.items():
        lines.append(f"(class {name} ({' '.join(permissions)}))")
        lines += [f"(classcommon {name} {of})"] if of else []
    lines.append(f"(classorder ({' '.join(known)}))")
    lines += _levels()
    lines += [
        "(user system_u)",
        "(userlevel system_u none)",
        "(userrange system_u full)",
        "(role system_r)",
        "(role object_r)",
    ]
    lines += ["(userrole system_u system_r)", "(userrole system_u object_r)"]
    sids = initial_labels(sid_table)
    for name, kind in sids:
        role = "system_r" if name in ("kernel", "init", "kmod") else "object_r"
        lines += [f"(sid {name})", f"(sidcontext {name} (system_u {role} {kind} low))"]
    lines.append(f"(sidorder ({' '.join(name for name, _ in sids)}))")
    for group, of in (("all_sockets", "socket"), ("all_ipcs", "ipc")):
        lines.append(f"(classpermission {group})")
        lines += [f"(classpermissionset {group} ({name} (all)))" for name, (common, _) in known.items() if common == of]
    return "\n".join(lines) + "\n"


def _levels() -> list[str]:
    names = [f"c{number}" for number in range(CATEGORIES)]
    return [
        *("(sensitivity s0)", "(sensitivityorder (s0))"),
        *(f"(category {name})" for name in names),
        f"(categoryorder ({' '.join(names)}))",
        f"(sensitivitycategory s0 (range c0 {names[-1]}))",
        *("(level none (s0))", f"(level all (s0 (range c0 {names[-1]})))"),
        *("(levelrange low (none none))", "(levelrange full (none all))"),
    ]


def below_usr(contexts: str) -> str:
    """The file contexts as mkfs.erofs wants them: paths are those inside the image, whose root is /usr."""
    lines = (line for line in contexts.split("\n") if line.startswith("/usr"))
    return "".join(line.removeprefix("/usr") + "\n" for line in lines)


def enforced(words: Sequence[str]) -> list[str]:
    """The words of a kernel command line with which SELinux is there and enforces from the first moment."""
    with_it = [f"{word},selinux" if word.startswith("lsm=") else word for word in words]
    if with_it == list(words):
        raise BadInput("os/cmdline has no lsm= that SELinux could be added to")
    return [*with_it, "enforcing=1"]
