"""`storage.trees`: files and links of a local folder, as if each had been written into the config.

An entry of `files` or `links` with the same path gives owner, group or mode; it may not have contents of its own. What
the tree itself says of owner, group and modes holds for all others, its folders too.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from orlop.provision.local import LocalError, LocalFiles, LocalNode, NodeKind
from orlop.provision.report import Report
from orlop.provision.rules.files import clean
from orlop.provision.schema import Type
from orlop.provision.spec_base import DIRECTORY, FILE, LINK, RESOURCE
from orlop.provision.sugar.resources import with_data
from orlop.provision.tree import Obj, Seq, made


def desugar(root: Obj, files: LocalFiles, report: Report) -> Obj:
    trees = root.obj("storage").objs("trees")
    if not trees:
        return root
    storage = root.obj("storage")
    nodes = _Nodes(
        {o.text("path") or "": o for o in storage.objs("files")},
        {o.text("path") or "": o for o in storage.objs("links")},
        {o.text("path") or "": o for o in storage.objs("directories")},
        report,
    )
    for tree in trees:
        try:
            for node in files.walk(tree.text("local") or ""):
                if node.kind is NodeKind.FOLDER:
                    nodes.add_folder(node, tree)
                else:
                    nodes.add(node, tree)
        except LocalError as e:
            report.error(tree.at("local"), e.message, e.hint)
    for name, table in (("files", nodes.files), ("links", nodes.links), ("directories", nodes.directories)):
        if storage.has(name) or table:
            storage = storage.put(name, _laid_over(storage.seq(name), table))
    return root.put("storage", storage, storage.place)


@dataclass(slots=True)
class _Nodes:
    """What is at which path so far; `add` brings in one node of a tree."""

    files: dict[str, Obj]
    links: dict[str, Obj]
    directories: dict[str, Obj]
    report: Report

    def add_folder(self, node: LocalNode, tree: Obj) -> None:
        """A folder is written into the config only where the tree says something of folders."""
        path, place = _path(node, tree), tree.place
        if tree.number("dir_mode") is None and not tree.has("user") and not tree.has("group"):
            return
        if path == "/" or path in self.directories:
            return
        if (there := self.files.get(path) or self.links.get(path)) is not None:
            line = there.place.span.line
            self.report.error(place, f"the tree has a folder at {path}, and line {line} says what is there")
            return
        mode = tree.number("dir_mode")
        self.directories[path] = _node(DIRECTORY, path, tree).put("mode", 0o755 if mode is None else mode, place)

    def add(self, node: LocalNode, tree: Obj) -> None:
        path, place = _path(node, tree), tree.place
        if node.kind is NodeKind.OTHER:
            self.report.error(
                place, f"{node.path!r} is {node.kind.value}", "a tree holds only files, folders and links"
            )
            return
        mine, others = (self.files, self.links) if node.kind is NodeKind.FILE else (self.links, self.files)
        there = mine.get(path)
        clash = others.get(path) or self.directories.get(path) or (there if there and self._full(there) else None)
        if clash is not None:
            line = clash.place.span.line
            self.report.error(place, f"the tree has a {node.kind.value} at {path}, and line {line} says what is there")
            return
        if node.kind is NodeKind.FILE:
            mine[path] = _file(there or _node(FILE, path, tree), node, tree)
        else:
            mine[path] = (there or _node(LINK, path, tree)).put("target", node.target, place)

    @staticmethod
    def _full(obj: Obj) -> bool:
        return bool(obj.text("target") if obj.type is LINK else obj.obj("contents").text("source"))


def _path(node: LocalNode, tree: Obj) -> str:
    return clean(posixpath.join(tree.text("path") or "/", node.path))


def _node(kind: Type, path: str, tree: Obj) -> Obj:
    """A node of the tree, which belongs to whom the tree says."""
    owner = {name: tree.obj(name) for name in ("user", "group") if tree.has(name)}
    return made(kind, tree.place, path=path, **owner)


def _file(file: Obj, node: LocalNode, tree: Obj) -> Obj:
    place = tree.place
    contents = file.values.get("contents")
    resource = contents if isinstance(contents, Obj) else Obj(RESOURCE, place)
    file = file.put("contents", with_data(resource, node.data, place), resource.place)
    if file.number("mode") is None:
        own = tree.number("file_mode")
        file = file.put("mode", (0o755 if node.executable else 0o644) if own is None else own, place)
    return file


def _laid_over(old: Seq, table: dict[str, Obj]) -> Seq:
    """The list with its entries as they are now, and the new ones behind. Entries with equal paths stay as they are."""
    seen: set[str] = set()
    items: list[Obj] = []
    for obj in old.objects():
        path = obj.text("path") or ""
        items.append(obj if path in seen else table.get(path, obj))
        seen.add(path)
    new = [obj for path, obj in table.items() if path not in seen]
    everything = [*items, *new]
    return Seq(old.place, tuple(everything), tuple(obj.place for obj in everything))
