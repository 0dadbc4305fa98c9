"""What SELinux refused, read from the kernel's and the programs' own lines, and said in a sentence. Pure.

A line is what the kernel logs, or a program that asks SELinux by itself (process 1, the D-Bus broker):

    avc:  denied  { read } for  pid=812 comm="cat" name="own" dev="vda5" ino=3
    scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=system_u:object_r:container_file_t:s0:c3,c4
    tclass=file permissive=0

The advice names what a user can change: a label of a container or a volume, a setting. Where the policy refuses on
purpose what no setting allows, it says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from orlop.errors import BadInput
from orlop.model.words.strict import Fields, Wrong, parse_json

SCHEMA = 1
MAX_BYTES = 16 << 20
MAX_DENIALS = 10_000
_LINE = re.compile(r"avc:\s+(?P<verb>denied|granted)\s+\{ (?P<permissions>[^}]*)\}\s+for\s+(?P<rest>.*)")
_CONTEXT = r"{}=(?P<user>[^:\s]+):(?P<role>[^:\s]+):(?P<type>[^:\s]+)(?::(?P<level>\S+))?"
_SOURCE, _TARGET = re.compile(_CONTEXT.format("scontext")), re.compile(_CONTEXT.format("tcontext"))
_WORD = r'\b{}=(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"]+))'

# who acts, as a person would call it
_WHO = {
    "container_t": "a container",
    "spc_t": "a privileged container",
    "admin_t": "a login",
    "sftpd_t": "a login, by sftp",
    "runtime_t": "podman",
    "timer_t": "podman's timer of a health check",
    "system_t": "a service of the system",
    "init_t": "process 1",
    "kernel_t": "the kernel",
    "udev_t": "udev",
    "sshd_t": "sshd",
    "fsck_t": "a check of a file system",
    "update_t": "the update engine",
    "health_t": "the health check",
    "bless_t": "what marks a boot good",
    "failures_t": "orlop-failures.service",
    "keys_t": "orlop-ssh-keys.service",
    "record_t": "orlop-record.service",
    "steer_t": "a unit of the system that starts others",
    "tune_t": "a unit of the system that sets the kernel",
    "agent_t": "the cluster's agent",
    "member_t": "the cluster's membership",
    "control_t": "the cluster's control API",
    "etcd_t": "the cluster's store",
}
# and what is acted on
_WHAT = {
    "os_t": "the image's /usr",
    "etc_t": "/etc or /opt, which are sealed",
    "root_t": "/",
    "secret_t": "a secret of the machine",
    "boot_t": "the ESP",
    "state_t": "a file of the host in /var",
    "lib_state_t": "/var/lib itself, or a folder there that systemd takes orders from",
    "orlop_state_t": "a record of the system in /var/lib/orlop",
    "update_state_t": "the update engine's state",
    "cluster_state_t": "the cluster's state",
    "run_t": "a file of the host in /run",
    "sys_run_t": "a folder in /run that the system takes orders from",
    "unit_run_t": "a folder of units in /run",
    "orlop_run_t": "/run/orlop",
    "tmpfs_t": "a file in memory",
    "fresh_t": "a file without a label",
    "container_file_t": "a container's file",
    "container_ro_file_t": "a file that containers may read",
    "disk_device_t": "a disk",
    "mem_device_t": "the machine's memory",
    "device_t": "a device",
    "security_t": "SELinux itself",
    "proc_secret_t": "a secret of the kernel",
    "kcore_t": "the kernel's memory",
    "sysctl_t": "a setting of the kernel",
    "sysctl_kernel_t": "a setting of the kernel",
    "sysctl_net_t": "a setting of the kernel's network",
    "sysfs_t": "/sys",
    "cgroup_t": "a control group",
    "efivars_t": "a variable of the firmware",
    "closed_unit_t": "a unit that only the machine starts",
    "uffd_t": "userfaultfd",
}
_WRITES = frozenset(
    "write append create unlink rename link add_name remove_name setattr rmdir reparent relabelfrom relabelto".split()
)


@dataclass(frozen=True)
class Denial:
    """A refusal. `source`, `target`: types; `source_level`, `target_level`: their levels with the categories; `command`
    and `path` are "" where the line has none; `count`: how often it was seen.
    """

    permissions: tuple[str, ...]
    kind: str
    source: str
    target: str
    source_level: str = "s0"
    target_level: str = "s0"
    command: str = ""
    path: str = ""
    count: int = 1

    @property
    def writes(self) -> bool:
        return not _WRITES.isdisjoint(self.permissions)


def read(line: str) -> Denial | None:
    """The refusal that a line of the journal tells of; None when it tells of none."""
    match = _LINE.search(line)
    if match is None or match["verb"] != "denied":
        return None
    source, target = _SOURCE.search(match["rest"]), _TARGET.search(match["rest"])
    kind = _word(match["rest"], "tclass")
    if source is None or target is None or not kind:
        return None
    return Denial(
        tuple(match["permissions"].split()),
        kind,
        source["type"],
        target["type"],
        source["level"] or "s0",
        target["level"] or "s0",
        _word(match["rest"], "comm") or _word(match["rest"], "exe"),
        _word(match["rest"], "path") or _word(match["rest"], "name"),
    )


def _word(text: str, name: str) -> str:
    match = re.search(_WORD.format(name), text)
    return "" if match is None else match["quoted"] or match["plain"] or ""


def gather(lines: Iterable[str]) -> list[Denial]:
    """The refusals in lines of the journal, each once and counted, in the order in which they were first seen."""
    seen: dict[Denial, int] = {}
    for line in lines:
        if (denial := read(line)) is not None:
            seen[denial] = seen.get(denial, 0) + 1
    return [Denial(**{**vars(denial), "count": count}) for denial, count in seen.items()]


def sentence(denial: Denial) -> str:
    """Who was refused what."""
    who = _WHO.get(denial.source, denial.source)
    program = f" ({denial.command})" if denial.command else ""
    what = _target(denial)
    path = f", {denial.path}" if denial.path else ""
    times = f", {denial.count} times" if denial.count > 1 else ""
    return f"{who}{program} was refused to {_deed(denial)} {what}{path}{times}"


def _target(denial: Denial) -> str:
    if denial.kind.startswith("cap"):
        return f"the capability {', '.join(p.upper() for p in denial.permissions)}"
    if denial.kind.startswith("process") or denial.kind == "key":
        return f"a process: {_WHO.get(denial.target, denial.target)}"
    if denial.kind == "system":
        return "process 1" if denial.target == "init_t" else "the kernel"
    if (
        denial.target == "container_file_t"
        and denial.source == "container_t"
        and denial.target_level != denial.source_level
    ):
        return "another container's file"
    return _WHAT.get(denial.target) or f"{_WHO.get(denial.target, denial.target)} ({denial.kind})"


def _deed(denial: Denial) -> str:
    if denial.kind.startswith("cap"):
        return "use"
    words = {
        "execute": "run",
        "execute_no_trans": "run",
        "search": "look into",
        "getattr": "look at",
        "mounton": "mount over",
    }
    return " and ".join(dict.fromkeys(words.get(p, p.replace("_", " ")) for p in denial.permissions)) + (
        " in" if denial.kind == "system" and denial.target == "init_t" else ""
    )


def advice(denial: Denial) -> str:
    """What would allow it: a label, a setting; or that nothing does, and why."""
    for applies, text in _ADVICE:
        if applies(denial):
            return text
    return "the policy has no rule for it, and no setting gives one: if a workload needs it, say so in an issue"


def _is(*sources: str) -> frozenset[str]:
    return frozenset(sources)


_CONTAINER, _PERSON = _is("container_t"), _is("admin_t", "sftpd_t")
_VOLUMES = _is("state_t", "run_t", "tmpfs_t", "fresh_t")
_SEALED = _is(
    "os_t",
    "etc_t",
    "root_t",
    "boot_t",
    "update_state_t",
    "orlop_state_t",
    "unit_run_t",
    "sys_run_t",
    "lib_state_t",
    "orlop_run_t",
)

_ADVICE: tuple[tuple[Callable[[Denial], bool], str], ...] = (
    (
        lambda d: d.target == "security_t" and d.kind == "security",
        "nothing allows it: which policy is enforced, the signed image says",
    ),
    (
        lambda d: d.kind == "blk_file" and d.writes,
        "nothing allows it: only the update engine and checks of file systems write to disks",
    ),
    (
        lambda d: d.source in _CONTAINER and d.target == "container_file_t" and d.source_level != d.target_level,
        "if both are to have it, mount it with :z in both (`Volume=/var/data:/data:z`): :Z gives it to one alone",
    ),
    (
        lambda d: (
            d.source in _CONTAINER
            and d.target in _VOLUMES
            and d.kind in ("file", "dir", "lnk_file", "sock_file", "fifo_file")
        ),
        "mount it with :Z, for this container alone, or with :z, for several (`Volume=/var/data:/data:Z`)",
    ),
    (
        lambda d: d.source in _CONTAINER and d.kind.startswith("cap"),
        "no container gets this capability; a privileged one has most of them (`podman run --privileged`)",
    ),
    (
        lambda d: d.source in _CONTAINER and d.kind in ("chr_file", "blk_file"),
        "there is no label for this device: a container that needs it runs as spc_t (`SecurityLabelType=spc_t`)",
    ),
    (
        lambda d: d.source in _CONTAINER and d.kind in ("unix_stream_socket", "unix_dgram_socket"),
        "a container that is to speak to the host runs as spc_t (`SecurityLabelType=spc_t`)",
    ),
    (
        lambda d: d.source in _CONTAINER,
        "a workload that needs the host runs as spc_t (`SecurityLabelType=spc_t`, `--security-opt label=type:spc_t`)",
    ),
    (
        lambda d: d.source in _PERSON and d.kind == "system" and d.target == "init_t",
        "a unit is started by its name; one of your own comes by the configuration (`systemd.units`)",
    ),
    (
        lambda d: (
            d.source in _PERSON and d.kind == "file" and bool({"execute", "execute_no_trans"} & set(d.permissions))
        ),
        "run it in a container; or bring it by the configuration to /opt or /etc, where a unit can start it",
    ),
    (
        lambda d: d.source in _PERSON and (d.target in _SEALED or d.kind in ("filesystem", "system") or not d.kind),
        "nothing allows it to a login: what the system is, its image and its configuration say",
    ),
    (
        lambda d: d.source in _PERSON,
        "nothing allows it to a login; a privileged container may do more: `podman run --privileged`",
    ),
    (
        lambda d: bool({"execute", "execute_no_trans"} & set(d.permissions)),
        "the host runs what image and configuration brought: run it in a container, or bring it to /opt",
    ),
)


def as_document(denials: Sequence[Denial]) -> str:
    """The refusals as JSON, each with its sentence and its advice."""
    entries = [{**asdict(d), "sentence": sentence(d), "advice": advice(d)} for d in denials]
    return json.dumps({"schema": SCHEMA, "denials": entries}, indent=2)


def parse_document(text: str | bytes, what: str) -> list[Denial]:
    """The inverse of `as_document`. Raises BadInput."""
    try:
        about = Fields.of("", parse_json(text.encode() if isinstance(text, str) else text, MAX_BYTES))
        if (schema := about.value("schema", int)) != SCHEMA:
            raise Wrong(f"it is of schema {schema}, this command reads {SCHEMA}")
        return [_parsed(entry) for entry in about.items("denials", MAX_DENIALS)]
    except (ValueError, Wrong) as e:
        raise BadInput(f"{what} cannot be read: {e}", hint="use the command of the machine's own version") from None


def _parsed(entry: Fields) -> Denial:
    words = ("kind", "source", "target", "source_level", "target_level", "command", "path")
    permissions = tuple(str(word) for word in entry.value("permissions", list))
    return Denial(permissions, count=entry.value("count", int), **{name: entry.value(name, str) for name in words})


def lines(denials: Sequence[Denial]) -> list[str]:
    """The refusals for a person: a sentence, and below it what would allow it."""
    return [text for d in denials for text in (sentence(d), f"    {advice(d)}")]
