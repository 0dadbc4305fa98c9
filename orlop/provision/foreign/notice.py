"""A warning for everything in a config that means something on another system and nothing, or something else, here.

Who writes a unit of such a name, or masks one, has said what it is to be: nothing is said about that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from orlop.model.words.unitname import unit_name
from orlop.provision.foreign import table
from orlop.provision.foreign.table import Foreign
from orlop.provision.foreign.texts import UNITS, Configured, UnitText
from orlop.provision.report import Report
from orlop.provision.source import Place
from orlop.provision.tree import Obj

Finding = tuple[Place, str, Foreign]

_SSH_UNITS = ("ssh.socket", "ssh.service")
_NEEDS = ("Requires", "Requisite", "BindsTo", "Wants", "Upholds")
_WANTED = ("WantedBy", "RequiredBy", "UpheldBy")
_EXEC = ("ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost", "ExecCondition")
_PREFIX = "-@:+!|"
_RUN_VOLUME = re.compile(r"(?:^|\s)(?:-v|--volume)[\s=]+(\S+)")
_PASSWORDS = re.compile(r"^\s*PasswordAuthentication\s+yes\b", re.IGNORECASE | re.MULTILINE)
# whose contents stay, or are this system's and the kernel's: a folder or volume anywhere else loses its data
_NO_DATA = re.compile(r"/(var|etc|usr|bin|sbin|lib|lib64|dev|proc|sys|run|tmp|boot)(/.*)?|/")
_READ_ONLY = re.compile(r"/(usr|bin|sbin|lib|lib64)(/.*)?")


def check(root: Obj, config: Configured, report: Report) -> None:
    for place, name, entry in _found(root, config):
        report.warn(place, f"{name}: {entry.here}", entry.write)


def _found(root: Obj, config: Configured) -> Iterator[Finding]:
    yield from _nodes(root, config)
    yield from _units(root, config)
    for text in config.texts:
        yield from _text(text, config)
    yield from _accounts(root, config)
    yield from _impossible(root)


def _impossible(root: Obj) -> Iterator[Finding]:
    """What stops the boot. The variants that do not allow it say so themselves."""
    for luks in root.obj("storage").objs("luks") if root.type.name in ("fcos", "ignition_json") else ():
        if not luks.obj("clevis").empty:
            yield luks.at("clevis"), f"the volume {luks.text('name')}", table.CLEVIS
    if root.type.name != "orlop" and not root.obj("kernel_arguments").empty:
        yield root.at("kernel_arguments"), "kernel arguments", table.KERNEL_ARGUMENTS


# files, folders, links


def _nodes(root: Obj, config: Configured) -> Iterator[Finding]:
    storage = root.obj("storage")
    for kind in ("files", "links", "directories"):
        for node in storage.objs(kind):
            path = node.text("path") or ""
            entry = table.of_file(path) or table.of_file(path + "/")
            if entry is not None and not entry.honoured and not (kind == "directories" and config.has_below(path)):
                yield node.at("path"), path, entry
            # the variant orlop refuses it
            elif _READ_ONLY.fullmatch(path) and root.type.name != "orlop":
                yield node.at("path"), path, table.READ_ONLY
            elif kind == "directories" and _loses_data(path, config):
                yield node.at("path"), path, table.DATA


def _loses_data(path: str, config: Configured) -> bool:
    """Whether a folder that is to hold data is on the tmpfs. One in which the config puts something holds that."""
    mounts = [f.text("path") or "" for f in config.root.obj("storage").objs("filesystems")]
    is_mounted = any(m and (path == m or path.startswith(m.rstrip("/") + "/")) for m in mounts)
    by_unit = {f"{unit_name(p)}.mount" for p in (path, *_above(path))}
    return not _NO_DATA.fullmatch(path) and not is_mounted and not config.has_below(path) and not by_unit & config.own


# units


def _units(root: Obj, config: Configured) -> Iterator[Finding]:
    for unit in root.obj("systemd").objs("units"):
        name = unit.text("name") or ""
        entry = None if name in config.own or name in config.stopped else table.of_unit(name)
        if entry is not None and not (entry is table.TRUST_STORE and not unit.flag("enabled")):
            yield unit.at("name"), name, entry
    for link in root.obj("storage").objs("links"):
        path = link.text("path") or ""
        name = path.rpartition("/")[2]
        if path.startswith(UNITS) and link.text("target") != "/dev/null" and name not in config.own:
            entry = table.of_unit(name)
            if entry is not None:
                yield link.at("path"), name, entry


def _text(text: UnitText, config: Configured) -> Iterator[Finding]:
    """What a unit or a Quadlet file asks for."""
    if table.of_unit(text.name) is not None and text.name not in config.own:
        return  # a change to a unit that is not there, which is said
    for needed in dict.fromkeys(text.words(*_NEEDS)):
        entry = None if needed in config.own else table.of_unit(needed)
        if entry is not None and not entry.honoured:
            yield text.place, f"{text.name} needs {needed}", entry
    for value in text.values(*_EXEC):
        program = (value.lstrip(_PREFIX).split() or [""])[0]
        entry = None if program in config.paths else table.of_program(program.rpartition("/")[2])
        if entry is not None:
            yield text.place, f"{text.name} starts {program}", entry
    if any(value.lower() in ("yes", "true", "1", "on") for value in text.values("ConditionFirstBoot")):
        yield text.place, text.name, table.FIRST_BOOT
    others = [word for word in text.words(*_WANTED) if word != "remote-fs.target"]
    if "remote-fs.target" in text.words(*_WANTED) and not others and "remote-fs.target" not in config.enabled:
        yield text.place, f"{text.name} is wanted by remote-fs.target", table.REMOTE_FS
    asks_for_newer = text.name.endswith((".container", ".kube")) and text.values("AutoUpdate")
    if asks_for_newer and "podman-auto-update.timer" not in config.own:
        yield text.place, f"AutoUpdate= of {text.name}", table.AUTO_UPDATE
    for source in dict.fromkeys(_volumes(text)):
        if source.startswith("/") and _loses_data(source.rstrip("/") or "/", config):
            yield text.place, f"the volume {source} of {text.name}", table.DATA


def _volumes(text: UnitText) -> Iterator[str]:
    """Folders of the machine that containers are given."""
    if text.name.endswith((".container", ".pod")):
        for value in text.values("Volume"):
            yield value.partition(":")[0]
    for value in text.values(*_EXEC, "PodmanArgs"):
        if "podman" in value or "docker" in value or text.name.endswith((".container", ".pod")):
            yield from (found.partition(":")[0].strip("\"'") for found in _RUN_VOLUME.findall(value))


# users


def _accounts(root: Obj, config: Configured) -> Iterator[Finding]:
    passwd = root.obj("passwd")
    groups = {group.text("name") for group in passwd.objs("groups")}
    has_ssh = any(unit in config.enabled for unit in _SSH_UNITS)
    has_passwords = any(
        f.path.startswith("/etc/ssh/sshd_config") and (f.text is None or _PASSWORDS.search(f.text))
        for f in config.files
    )
    for user in passwd.objs("users"):
        called = f"the user {user.text('name')}"
        if user.texts("ssh_authorized_keys") and not has_ssh:
            yield user.at("ssh_authorized_keys"), called, table.SSH_KEYS
        if user.text("password_hash") not in (None, "", "*", "!", "!!") and not has_passwords:
            yield user.at("password_hash"), called, table.PASSWORD
        members = user.seq("groups")
        for group, place in zip(members.texts(), members.places, strict=True):
            if group == "docker" and group not in groups:
                yield place, called, table.DOCKER_GROUP
            elif group in ("sudo", "wheel"):
                yield place, f"{called} in {group}", table.ADMIN_GROUPS


def _above(path: str) -> Iterator[str]:
    while len(path := path.rpartition("/")[0]) > 1:
        yield path
