"""What a scalar means to a field that asks for a string, a number or a boolean. The rules are those of Go's yaml.v3.

| text            | string field | boolean field | number field |
|-----------------|--------------|---------------|--------------|
| `yes`, `on`, `y`| "yes"        | true          | error        |
| `"yes"`         | "yes"        | true          | error        |
| `true`, `True`  | "true"       | true          | error        |
| `0644`, `0o644` | "0644"       | error         | 420 (octal)  |
| `644`           | "644"        | error         | 644          |
| `1_000`, `0x10` | "1_000"      | error         | 1000, 16     |
| `1.0`           | "1.0"        | error         | error (yaml.v3 cuts it to 1) |
| `~`, `null`, nothing | not set | not set       | not set      |

Source: the resolver of yaml.v3 3.0.1, observed; the one place where we are stricter is marked.
"""

from __future__ import annotations

import re

from orlop.provision.yamltree import YamlKind, YamlNode

MAX_INT = (1 << 53) - 1  # what every JSON reader keeps exactly

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_YES = frozenset(("y", "Y", "yes", "on"))
_NO = frozenset(("n", "N", "no", "off"))
_INT = re.compile(
    r"([-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASES = (("hex", 16), ("bin", 2), ("oct", 8), ("dec", 10))


def is_null(node: YamlNode) -> bool:
    return node.kind is YamlKind.SCALAR and (node.tag == "null" or (node.plain and node.text in _NULL))


def as_bool(node: YamlNode) -> bool | str:
    """The boolean, or the reason why there is none."""
    text = node.text
    if node.tag in ("", "bool"):
        if ((node.plain or node.tag == "bool") and text in _TRUE) or text in _YES:
            return True
        if ((node.plain or node.tag == "bool") and text in _FALSE) or text in _NO:
            return False
    return f"needs true or false, not {shown(node)}"


def as_int(node: YamlNode) -> int | str:
    """The number, or the reason why there is none."""
    if not node.plain and node.tag != "int":
        return f"needs a number, not the text {shown(node)}"
    text = node.text.replace("_", "")
    if len(text) > 70:
        return "is too large a number"
    match = _INT.fullmatch(text)
    if match is None:
        if re.fullmatch(r"[-+]?0[0-9]+", text):
            return f"is octal because it begins with 0, and {text} is not a valid octal number"
        if _FLOAT.fullmatch(text):  # stricter than yaml.v3, which cuts off the fraction in silence
            return f"needs a whole number, not {text}"
        return f"needs a number, not {shown(node)}"
    name, base = next((name, base) for name, base in _BASES if match[name] is not None)
    value = int(match[name], base)
    if value > MAX_INT:
        return "is too large a number"
    return -value if match[1] == "-" else value


def shown(node: YamlNode) -> str:
    """A node as a message names it."""
    if node.kind is not YamlKind.SCALAR:
        return str(node.kind.value)
    if is_null(node):
        return "nothing"
    text = node.text if len(node.text) <= 40 else node.text[:37] + "…"
    return repr(text)
