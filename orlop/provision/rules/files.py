"""Rules about files, folders and links."""

from __future__ import annotations

import posixpath

from orlop.provision.report import Report
from orlop.provision.source import Place
from orlop.provision.tree import Obj, walk

MODE_MAX = 0o7777


def check(root: Obj, report: Report) -> None:
    storage = root.obj("storage")
    is_json = root.type.name == "ignition_json"  # where no number is octal
    links = {link.text("path") or "": link for link in storage.objs("links")}
    for name in ("directories", "files", "links"):
        for node in storage.objs(name):
            _node(node, links, report, is_json=is_json)
    folders = {folder.text("path"): folder for folder in storage.objs("directories")}
    for link in storage.objs("links"):
        _link(link, folders, report)
    for obj in walk(storage):
        if obj.type.name in ("user", "group") and obj.number("id") is not None and obj.text("name"):
            report.error(obj.place, f"the {obj.type.name} is given by id and by name", "give one of them")


def path_problem(path: str | None) -> str:
    """Why the text is not a plain absolute path."""
    if not path:
        return "is empty"
    if not path.startswith("/"):
        return f"is not absolute: {path!r} does not begin with /"
    return "" if clean(path) == path else f"is not in its shortest form: write {clean(path)!r}"


def clean(path: str) -> str:
    """A path without `.`, `..`, and slashes too many."""
    short = posixpath.normpath(path)
    return short[1:] if short.startswith("//") else short


def check_path(obj: Obj, name: str, report: Report) -> bool:
    """An error unless the value of `name` is a plain absolute path."""
    reason = path_problem(obj.text(name))
    if reason:
        report.error(obj.at(name), f"{name} {reason}")
    return not reason


def _node(node: Obj, links: dict[str, Obj], report: Report, *, is_json: bool) -> None:
    sound = check_path(node, "path", report)
    mode = node.number("mode")
    if mode is not None:
        _mode(mode, node.at("mode"), report, folder=node.type.name == "directory", is_json=is_json)
    if node.type.name == "file" and node.flag("overwrite") and not node.obj("contents").has("source"):
        report.error(node.at("overwrite"), "a file that is overwritten needs contents", "add `contents:`")
    above = posixpath.dirname(node.text("path") or "") if sound else ""
    while len(above) > 1:
        link = links.get(above)
        if link is not None:
            report.error(
                node.at("path"),
                f"the path goes through the link {above} of line {link.place.span.line}",
                "write the path that the link leads to",
            )
        above = posixpath.dirname(above)


def _link(link: Obj, folders: dict[str | None, Obj], report: Report) -> None:
    target = link.text("target")
    if not target:
        report.error(link.at("target"), "a link needs a target", "add `target:`")
    elif link.flag("hard"):
        there = clean(posixpath.join(link.text("path") or "/", target))
        if there in folders:
            report.error(link.place, f"a hard link cannot lead to a folder: {there}", "use a symbolic link")


def _mode(mode: int, place: Place, report: Report, *, folder: bool, is_json: bool) -> None:
    if mode > MODE_MAX:
        report.error(place, f"the mode {mode} is out of range", f"octal, with a leading 0: at most 0{MODE_MAX:o}")
        return
    meant = _as_octal(mode)
    if meant is not None and not _usual(mode, folder) and _usual(meant, folder):
        hint = f"for the mode 0{meant:o} write {meant}" if is_json else f"for octal begin with a 0: 0{meant:o}"
        report.warn(place, f"{mode} is decimal, and an odd mode (0{mode:o})", hint)
    elif mode & 0o7000:
        report.warn(place, "setuid, setgid and sticky are not set by this version of Ignition", "use a tmpfiles.d line")


def _as_octal(mode: int) -> int | None:
    """What the decimal digits are when read as octal."""
    digits = str(mode)
    return int(digits, 8) if len(digits) <= 4 and all(d in "01234567" for d in digits) else None


def _usual(mode: int, folder: bool) -> bool:
    """Whether people give such a mode on purpose: nobody may do what those closer to the owner may not."""
    if mode == 0:
        return True
    bits = [(mode >> shift) & 7 for shift in (0, 3, 6)]  # others, group, owner
    seen = 0
    for perm in bits:
        if seen & ~perm:
            return False  # the group can do something that the owner cannot
        if perm & 1 and seen & 4 and not seen & 1:
            return False  # owner runs it, others only read it
        if perm & 3 and not perm & 4:
            return False  # writing or running without reading
        seen |= perm
    if not seen & 4:
        return False
    return _usual_folder(mode, seen) if folder else _usual_file(mode, seen)


def _usual_folder(mode: int, seen: int) -> bool:
    return bool(seen & 1) and not mode & 0o4000 and not (mode & 0o3000 and not seen & 2)


def _usual_file(mode: int, seen: int) -> bool:
    if mode & 0o6000 and (not seen & 1 or mode & 2):
        return False
    return not mode & 0o1000
