"""`with_mount_unit`: a systemd mount or swap unit for a file system, which the user's own unit of that name may change.

The unit checks the file system first and is required by local-fs.target (or, when the volume below it is unlocked over
the network, by remote-fs.target): a machine whose data is missing stops instead of running without it.
"""

from __future__ import annotations

from orlop.model.words.unitname import unit_name
from orlop.provision.merge import merge_at
from orlop.provision.report import Report
from orlop.provision.spec_base import SYSTEMD, UNIT
from orlop.provision.tree import Obj, listed, made

_MAPPED = ("/dev/mapper/", "/dev/disk/by-id/dm-name-")


def desugar(root: Obj, report: Report) -> Obj:
    storage = root.obj("storage")
    over_network = {
        prefix + (luks.text("name") or "")
        for luks in storage.objs("luks")
        if luks.obj("clevis").objs("tang")
        for prefix in _MAPPED
    }
    units: list[Obj] = []
    for filesystem in storage.objs("filesystems"):
        if filesystem.flag("with_mount_unit"):
            unit = _unit(filesystem, (filesystem.text("device") or "") in over_network, report)
            units += [unit] if unit else []
    if not units:
        return root
    place = storage.at("filesystems")
    return merge_at(root, ("systemd",), made(SYSTEMD, place, units=listed(place, units)))


def _unit(filesystem: Obj, remote: bool, report: Report) -> Obj | None:
    device, path = filesystem.text("device") or "", filesystem.text("path") or ""
    format_ = filesystem.text("format") or ""
    where = filesystem.at("with_mount_unit")
    if not format_:
        report.error(where, "with_mount_unit needs the format of the file system", "add `format:`")
        return None
    if format_ != "swap" and not path:
        report.error(where, "with_mount_unit needs the path to mount at", "add `path:`, or `format: swap`")
        return None
    options = filesystem.texts("mount_options")
    for name, text in (("device", device), ("path", path), ("mount_options", ",".join(options))):
        if any(ord(c) < 32 or ord(c) == 127 for c in text) or text.endswith(("\\", " ")):
            report.error(filesystem.at(name), f"{name} cannot be written into a unit", "it holds a control character")
            return None
    if format_ == "swap":
        name, text = unit_name(device) + ".swap", _swap(device, options)
    else:
        name, text = unit_name(path) + ".mount", _mount(device, path, format_, options, remote)
    return made(UNIT, where, name=name, enabled=True, contents=text)


def _mount(device: str, path: str, format_: str, options: list[str], remote: bool) -> str:
    check = f"systemd-fsck@{_percent(unit_name(device))}.service"
    lines = [
        "# Made from with_mount_unit",
        "[Unit]",
        f"Requires={check}",
        f"After={check}",
        "",
        "[Mount]",
        f"Where={_percent(path)}",
        f"What={_percent(device)}",
    ]
    if format_ != "none":
        lines.append(f"Type={format_}")
    options = [*options, "_netdev"] if remote and "_netdev" not in options else options
    lines += _options(options)
    return "\n".join([*lines, "", "[Install]", f"RequiredBy={'remote' if remote else 'local'}-fs.target", ""])


def _swap(device: str, options: list[str]) -> str:
    lines = ["# Made from with_mount_unit", "[Swap]", f"What={_percent(device)}", *_options(options)]
    return "\n".join([*lines, "", "[Install]", "RequiredBy=swap.target", ""])


def _options(options: list[str]) -> list[str]:
    return ["Options=" + _percent(",".join(options))] if options else []


def _percent(text: str) -> str:
    """systemd expands % in units."""
    return text.replace("%", "%%")
