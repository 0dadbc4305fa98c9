"""The table as documentation: `docs/reference/config-orlop.md` is made by `orlop config reference`, never by hand."""

from __future__ import annotations

from orlop.model.settings.document import FILES
from orlop.model.settings.update import FORMAT
from orlop.provision.schema import Field, Scalar, Type
from orlop.provision.spec_variants import ORLOP
from orlop.provision.variants import UNMEANT, VARIANTS, Variant

_HEAD = """\
# The configuration language `{name}` {version}

Made by `orlop config reference` from the table that the translator itself uses. How to write a configuration and what
becomes of it: [Describe a machine](../guide/config.md).

A file begins with `variant: {name}` and `version: {version}`. An unknown key is an error. Keys in **bold** must be
there. After the document itself, each kind of object has a section that says where it is used.

"""
_FILES = """\
## Files that the short forms become

| key | file | mode |
|---|---|---|
{rows}\
| `quadlets[]` | `/etc/containers/systemd/NAME` and `NAME.d/DROPIN` | 0644 |

`update.toml` begins with `format = {format}` and holds, under the names of the sections above, exactly the keys that
were given; the program that reads it knows the defaults. `window` and `lock` are tables of their own. `health.conf` has
`TIMEOUT=`, `SOAK=` and `WAIT=`, in seconds. Whoever writes these files in another way is held to the same rules, by the
programs that read them.
"""


def markdown() -> str:
    """The reference of the `orlop` variant."""
    variant = next(v for v in VARIANTS if v.type is ORLOP)
    used = _used(variant)
    parts = [_HEAD.format(name=variant.name, version=variant.version)]
    parts += [_section(kind, paths, variant) for kind, paths in used.items()]
    newer = {path: reason for path, reason in UNMEANT.items() if path != "grub" and "clevis" not in path}
    left_out = {**variant.refused, **variant.unread, **newer}
    parts += ["## Not supported\n\n", *(f"- `{path}`: {reason}\n" for path, reason in left_out.items()), "\n"]
    rows = "".join(f"| `{file.settings}` | `{file.place}` | {file.mode:04o} |\n" for file in FILES)
    return "".join([*parts, _FILES.format(rows=rows, format=FORMAT)])


def _used(variant: Variant) -> dict[Type, list[str]]:
    """Every kind of object, with the paths it is found at, in the order in which the document mentions them."""
    paths: dict[int, list[str]] = {id(variant.type): [""]}
    kinds = [variant.type]
    queue = [(field, field.name) for field in variant.type.fields]
    while queue:
        field, path = queue.pop(0)
        if not isinstance(field.kind, Type) or path.replace("[]", "") in _left_out(variant):
            continue
        path += "[]" if field.many else ""
        paths.setdefault(id(field.kind), []).append(path)
        if len(paths[id(field.kind)]) == 1:
            kinds.append(field.kind)
            queue += [(f, f"{path}.{f.name}") for f in field.kind.fields]
    return {kind: paths[id(kind)] for kind in kinds}


def _section(kind: Type, paths: list[str], variant: Variant) -> str:
    refused = {path.rpartition(".")[2] for path in _left_out(variant) if path.rpartition(".")[0] in _plain(paths)}
    fields = [field for field in kind.fields if field.name not in refused]
    rows = [_row(field) for field in fields]
    title = "The document" if kind is variant.type else kind.name
    where = "" if kind is variant.type else f"At {', '.join(f'`{path}`' for path in paths)}.\n\n"
    return f"## {title}\n\n{where}| key | kind | meaning | read by |\n|---|---|---|---|\n" + "".join(rows) + "\n"


def _left_out(variant: Variant) -> frozenset[str]:
    return variant.hidden | frozenset(variant.refused)


def _plain(paths: list[str]) -> list[str]:
    return [path.replace("[]", "") for path in paths]


def _row(field: Field) -> str:
    name = f"**`{field.name}`**" if field.required else f"`{field.name}`"
    text = field.doc
    if field.said and not field.choices:
        text += f". Must be {field.said}"
    if field.choices:
        text += f". One of: {', '.join(f'`{c}`' for c in field.choices)}"
    if field.default:
        text += f". Default: `{field.default}`"
    return f"| {name} | {_kind(field)} | {text} | {_reader(field)} |\n"


def _reader(field: Field) -> str:
    """A file of the repository, or who else; Ignition reads what is its own."""
    return f"`{field.reader}`" if "/" in field.reader else field.reader or "Ignition"


def _kind(field: Field) -> str:
    if isinstance(field.kind, Type):
        name = f"[{field.kind.name}](#{field.kind.name})"
        return f"list of {name}" if field.many else name
    name = "integer, octal" if field.kind is Scalar.MODE else str(field.kind.value)
    return f"list of {name}s" if field.many else name
