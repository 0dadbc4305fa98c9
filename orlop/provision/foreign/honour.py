"""What other systems' settings mean exactly, written into the config as files of this one.

A file that the config has already is left as it is: who writes this system's own file means it. Then a wish that says
something else is warned about; one that says the same is not, so that translating a translated config changes nothing.
"""

from __future__ import annotations

from orlop.model.settings.document import UPDATE_PLACE
from orlop.provision.foreign import anchors, table
from orlop.provision.foreign.table import Foreign
from orlop.provision.foreign.texts import Configured, Text
from orlop.provision.report import Report
from orlop.provision.source import Place
from orlop.provision.spec_base import FILE, RESOURCE, STORAGE
from orlop.provision.sugar.resources import with_data
from orlop.provision.sugar.settings import toml
from orlop.provision.tree import Obj, Seq, listed, made

_EITHER = "take one of the two out"


def desugar(root: Obj, config: Configured, report: Report) -> Obj:
    """`root` with the files that the config asks for in the words of other systems."""
    there = {file.path: file for file in config.files}
    new: list[Obj] = []
    # each is loaded only for a config that has its words: most have none, and loading takes longer than translating
    if _speaks_of(config, table.UPDATE_CONF, table.ZINCATI, table.UPDATERS):
        from orlop.provision.foreign import updates

        asked = updates.wish(config, report)
        if asked.place is not None:
            text = toml(asked.settings(), "Made from the update settings of another system")
            _add(new, there, UPDATE_PLACE, text, asked.place, table.UPDATE_CONF.write, report)
    if _speaks_of(config, table.KEYFILES):
        from orlop.provision.foreign import network

        for path, text, origin in network.files(config, report):
            _add(new, there, path, text, origin.place, _EITHER, report)
    if _speaks_of(config, table.CHRONY):
        from orlop.provision.foreign import clock

        if (made_of := clock.file(config, report)) is not None:
            text, origin = made_of
            _add(new, there, clock.PLACE, text, origin.place, _EITHER, report)
    if _speaks_of(config, table.ANCHORS):
        root = _trusting(root, config, there.get(anchors.BUNDLE), new, report)
    return _with_files(root, new)


def _speaks_of(config: Configured, *entries: Foreign) -> bool:
    patterns = [pattern for entry in entries for pattern in entry.files]
    units = {unit for entry in entries for unit in entry.units}
    named = {*config.stopped, *(text.name for text in config.texts)}
    return bool(units & named) or any(table.fits(f.path, pattern) for f in config.files for pattern in patterns)


def _trusting(root: Obj, config: Configured, bundle: Text | None, new: list[Obj], report: Report) -> Obj:
    certificates = anchors.certificates(config, report)
    if bundle is not None:
        return _appended(root, bundle, certificates)
    if certificates:
        place = certificates[0].place
        append = listed(place, anchors.appended(certificates))
        new.append(made(FILE, place, path=anchors.BUNDLE, append=append))
    return root


def _add(
    new: list[Obj], there: dict[str, Text], path: str, text: str, place: Place, write: str, report: Report
) -> None:
    """One more file, unless the config has it already."""
    old = there.get(path)
    if old is None:
        contents = with_data(Obj(RESOURCE, place), text.encode(), place)
        new.append(made(FILE, place, path=path, overwrite=True, contents=contents, mode=0o644))
    elif old.text != text:
        line = old.place.span.line
        report.warn(place, f"this is not read: line {line} writes {path}, which counts", write)


def _appended(root: Obj, bundle: Text, certificates: list[Obj]) -> Obj:
    """The bundle that the config writes or appends to itself, with the certificates that it lacks."""
    own = {r.text("source") for r in (bundle.file.obj("contents"), *bundle.file.objs("append"))}
    missing = anchors.appended([c for c in certificates if c.text("source") not in own])
    if not missing:
        return root
    append = bundle.file.seq("append")
    file = bundle.file.put("append", append.plus(*missing) if append.items else listed(bundle.place, missing))
    storage = root.obj("storage")
    files = storage.seq("files")
    items = tuple(file if item is bundle.file else item for item in files.items)
    return root.put("storage", storage.put("files", Seq(files.place, items, files.places)))


def _with_files(root: Obj, new: list[Obj]) -> Obj:
    if not new:
        return root
    storage = root.obj("storage") if root.has("storage") else Obj(STORAGE, new[0].place)
    files = storage.seq("files") if storage.has("files") else listed(new[0].place, [])
    return root.put("storage", storage.put("files", files.plus(*new)), storage.place)
