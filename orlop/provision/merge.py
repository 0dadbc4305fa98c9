"""Ignition's rules for merging two configs, for configs that the sugar makes and the user's own.

The parent is what the sugar made, the child what the user wrote: the child's values win. Objects merge key by key;
lists merge items of the same key in place and append the others; lists whose items may repeat are joined.

Source: "Rules of config merging" in Ignition's documentation. Left out, because no sugar makes them: lists that share
their keys (a file that takes the place of a link) and headers that are removed.
"""

from __future__ import annotations

from orlop.provision.schema import Field, Type
from orlop.provision.tree import Obj, Seq, Value


def merge(parent: Obj, child: Obj) -> Obj:
    """`child` laid over `parent`. Both are of the same type; the result has the place of the child."""
    values: dict[str, Value] = {}
    places = {**parent.places, **child.places}
    for field in parent.type.fields:
        over, under = child.values.get(field.name), parent.values.get(field.name)
        if over is None or under is None:
            value = under if over is None else over
        elif isinstance(over, Obj) and isinstance(under, Obj):
            value = merge(under, over)
        elif isinstance(over, Seq) and isinstance(under, Seq):
            value = _merge_lists(under, over, field)
        else:
            value = over
        if value is not None:
            values[field.name] = value
    return Obj(parent.type, child.place, values, places)


def _merge_lists(parent: Seq, child: Seq, field: Field) -> Seq:
    if not field.unique:
        return Seq(child.place, parent.items + child.items, parent.places + child.places)
    by_key = {_key(item): index for index, item in enumerate(child.items)}
    parent_keys = {_key(item) for item in parent.items}
    items: list[Value] = []
    places = []
    for item, place in zip(parent.items, parent.places, strict=True):
        index = by_key.get(_key(item))
        if index is None:
            items.append(item)
            places.append(place)
            continue
        over = child.items[index]
        merged = merge(item, over) if isinstance(item, Obj) and isinstance(over, Obj) else over
        items.append(merged)
        places.append(child.places[index])
    for item, place in zip(child.items, child.places, strict=True):
        if _key(item) not in parent_keys:
            items.append(item)
            places.append(place)
    return Seq(child.place, tuple(items), tuple(places))


def _key(item: Value) -> str:
    return item.key() if isinstance(item, Obj) else str(item)


def merge_at(root: Obj, path: tuple[str, ...], addition: Obj) -> Obj:
    """`root` with `addition` merged in as parent at `path`."""
    if not path:
        return merge(addition, root)
    head, rest = path[0], path[1:]
    kind = root.type.by_name[head].kind
    assert isinstance(kind, Type)
    under = root.values.get(head)
    child = under if isinstance(under, Obj) else Obj(kind, addition.place)
    return root.put(head, merge_at(child, rest, addition), child.place)
