"""The table as documentation: `docs/reference/config-orlop.md` is made by `orlop config reference`, never by hand."""

from __future__ import annotations

from orlop.provision.schema import Field, Scalar, Type
from orlop.provision.spec_variants import ORLOP
from orlop.provision.variants import VARIANTS, Variant

_HEAD = """\
# The configuration language `{name}` {version}

Made by `orlop config reference` from the table that the translator itself uses. How to write a configuration and what
becomes of it: [Describe a machine](../guide/config.md).

A file begins with `variant: {name}` and `version: {version}`. An unknown key is an error. Keys in **bold** must be
there. After the document itself, each kind of object has a section that says where it is used.

"""
_FILES = """\
## Files that the short forms become

| key | file | mode | read by |
|---|---|---|---|
| `hostname` | `/etc/hostname` | 0644 | systemd |
| `update` | `/etc/orlop/update.toml` | 0644 | the update engine |
| `health` | `/etc/orlop/health.conf` | 0644 | the health check |
| `health.checks[]` | `/etc/orlop/health.d/NAME` | 0755 | the health check |
| `cluster` | `/etc/orlop/cluster.toml` | 0600 | the agent |
| `trust.keys[]` | `/etc/orlop/keys.d/NAME.pem` | 0644 | the update engine |
| `quadlets[]` | `/etc/containers/systemd/NAME` and `NAME.d/DROPIN` | 0644 | podman's Quadlet generator |

The TOML files begin with `format = 1` and hold, under the names of the sections above, exactly the keys that were
given; the program that reads them knows the defaults. `window` and `lock` are tables of their own. `health.conf` has
`TIMEOUT=` and `SOAK=`, in seconds.
"""


def markdown() -> str:
    """The reference of the `orlop` variant."""
    variant = next(v for v in VARIANTS if v.type is ORLOP)
    used = _used(variant)
    parts = [_HEAD.format(name=variant.name, version=variant.version)]
    parts += [_section(kind, paths, variant) for kind, paths in used.items()]
    parts += ["## Not supported\n\n", *(f"- `{path}`: {reason}\n" for path, reason in variant.refused.items()), "\n"]
    return "".join([*parts, _FILES])


def _used(variant: Variant) -> dict[Type, list[str]]:
    """Every kind of object, with the paths it is found at, in the order in which the document mentions them."""
    paths: dict[int, list[str]] = {id(variant.type): [""]}
    kinds = [variant.type]
    queue = [(field, field.name) for field in variant.type.fields]
    while queue:
        field, path = queue.pop(0)
        if not isinstance(field.kind, Type) or path.replace("[]", "") in variant.refused:
            continue
        path += "[]" if field.many else ""
        paths.setdefault(id(field.kind), []).append(path)
        if len(paths[id(field.kind)]) == 1:
            kinds.append(field.kind)
            queue += [(f, f"{path}.{f.name}") for f in field.kind.fields]
    return {kind: paths[id(kind)] for kind in kinds}


def _section(kind: Type, paths: list[str], variant: Variant) -> str:
    refused = {path.rpartition(".")[2] for path in variant.refused if path.rpartition(".")[0] in _plain(paths)}
    rows = [_row(field) for field in kind.fields if field.name not in refused]
    title = "The document" if kind is variant.type else kind.name
    where = "" if kind is variant.type else f"At {', '.join(f'`{path}`' for path in paths)}.\n\n"
    return f"## {title}\n\n{where}| key | kind | meaning |\n|---|---|---|\n" + "".join(rows) + "\n"


def _plain(paths: list[str]) -> list[str]:
    return [path.replace("[]", "") for path in paths]


def _row(field: Field) -> str:
    name = f"**`{field.name}`**" if field.required else f"`{field.name}`"
    text = field.doc
    if field.choices:
        text += f". One of: {', '.join(f'`{c}`' for c in field.choices)}"
    if field.default:
        text += f". Default: `{field.default}`"
    return f"| {name} | {_kind(field)} | {text} |\n"


def _kind(field: Field) -> str:
    if isinstance(field.kind, Type):
        name = f"[{field.kind.name}](#{field.kind.name})"
        return f"list of {name}" if field.many else name
    name = "integer, octal" if field.kind is Scalar.MODE else str(field.kind.value)
    return f"list of {name}s" if field.many else name
