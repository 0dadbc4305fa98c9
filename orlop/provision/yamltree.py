"""YAML text to a tree of nodes that know their positions. No values yet: `scalars` and `decode` decide what they mean.

Why our own composer over PyYAML's event stream: PyYAML gives scalars types before a field asked for one, lets the last
of two equal keys win, and composes by recursion. Butane files are read by Go's yaml.v3, whose rules these are: equal
keys are an error, merge keys work, scalars stay text until a typed field asks.

Bounds, so that no input can exhaust memory or the stack: size of the text, number of events, depth, and the number of
keys that merging produces. Aliases share their node; `decode` bounds how often nodes are visited.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from orlop.provision.source import START, Span

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 64 << 20
MAX_EVENTS = 2_000_000
MAX_KEYS = 2_000_000
MAX_DEPTH = 64

_PREFIX = "tag:yaml.org,2002:"
_TAGS = {_PREFIX + name for name in ("str", "int", "bool", "null", "float", "map", "seq", "timestamp")} | {"!"}


class YamlKind(Enum):
    SCALAR = "a single value"
    MAP = "a mapping"
    LIST = "a list"


@dataclass(frozen=True, slots=True)
class Key:
    span: Span
    value: YamlNode


@dataclass(slots=True)
class YamlNode:
    """One node. `tag` is the short name of an explicit tag ("int") or ""; `plain`: a scalar without quotes."""

    kind: YamlKind
    span: Span
    tag: str = ""
    text: str = ""
    plain: bool = False
    items: list[YamlNode] = field(default_factory=list)
    keys: dict[str, Key] = field(default_factory=dict)


class YamlError(Exception):
    """The text is not YAML we can read. Caught by `translate`, which puts it in the report."""

    def __init__(self, message: str, span: Span, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.hint = hint


def text_of(raw: bytes) -> str:
    """The text of a config file. Raises YamlError when it is too large or not UTF-8."""
    if len(raw) > MAX_BYTES:
        raise YamlError(f"the config is larger than {MAX_BYTES >> 20} MiB", START, "keep large files outside: `local:`")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        column = len(raw[raw.rfind(b"\n", 0, e.start) + 1 : e.start].decode("utf-8", "replace")) + 1
        hint = "is it packed, or saved in another encoding?"
        raise YamlError("the config is not UTF-8 text", Span(line, column, line, column + 1), hint) from None


def parse(text: str) -> YamlNode | None:
    """The root node of the only document in `text`; None when there is nothing in it. Raises YamlError."""
    import yaml

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        return _Composer(yaml).compose(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as e:
        raise _syntax_error(e, text) from None
    except yaml.reader.ReaderError as e:
        raise YamlError(
            f"a character that YAML does not allow: {_reason(e)}",
            _position(text, e.position, in_bytes=yaml.__with_libyaml__),
        ) from None
    except yaml.YAMLError as e:
        raise YamlError(f"not valid YAML: {e}", START) from None


@dataclass(slots=True)
class _Open:
    """A mapping or list that has begun. `key`: the mapping's key whose value comes next."""

    node: YamlNode
    anchor: str | None
    key: YamlNode | None = None
    merges: list[tuple[YamlNode, Span]] = field(default_factory=list)


class _Composer:
    """Events to nodes with an explicit stack; one use."""

    def __init__(self, module: Any) -> None:
        self.yaml = module
        self.stack: list[_Open] = []
        self.anchors: dict[str, YamlNode | None] = {}  # None: begun, not ended
        self.root: YamlNode | None = None
        self.made = 0
        self.documents = 0

    def compose(self, events: Iterator[yaml.Event]) -> YamlNode | None:
        y = self.yaml
        for count, event in enumerate(events):
            if count > MAX_EVENTS:
                raise YamlError("the config has too many parts", _span(event), "split it: `ignition.config.merge`")
            if isinstance(event, y.ScalarEvent):
                self._add(self._scalar(event), event.anchor)
            elif isinstance(event, y.AliasEvent):
                self._add(self._alias(event), None)
            elif isinstance(event, y.CollectionStartEvent):
                self._begin(event, YamlKind.MAP if isinstance(event, y.MappingStartEvent) else YamlKind.LIST)
            elif isinstance(event, y.CollectionEndEvent):
                self._end()
            elif isinstance(event, y.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    raise YamlError(
                        "a second YAML document begins here", _span(event), "one file holds one config: remove the ---"
                    )
        return self.root

    def _scalar(self, event: yaml.ScalarEvent) -> YamlNode:
        tag = _tag(event)
        if not event.value.isascii() and any("\ud800" <= c <= "\udfff" for c in event.value):
            raise YamlError("half of a surrogate pair is not a valid character", _span(event))
        span = replace(_span(event), literal=True) if event.style == "|" else _span(event)
        return YamlNode(YamlKind.SCALAR, span, tag, event.value, plain=not event.style and tag in ("", "null"))

    def _alias(self, event: yaml.AliasEvent) -> YamlNode:
        name = event.anchor or ""
        if name not in self.anchors:
            raise YamlError(f"nothing before this is anchored as &{name}", _span(event))
        node = self.anchors[name]
        if node is None:
            raise YamlError(f"*{name} stands inside what it names, so it would never end", _span(event))
        return node

    def _begin(self, event: yaml.CollectionStartEvent, kind: YamlKind) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise YamlError(f"nested deeper than {MAX_DEPTH} levels", _span(event))
        if self.stack and self.stack[-1].node.kind is YamlKind.MAP and self.stack[-1].key is None:
            raise YamlError(f"a key must be a single value, not {kind.value}", _span(event))
        if event.anchor:
            self.anchors[event.anchor] = None
        start = _span(event)
        one = Span(start.line, start.column, start.line, start.column + 1)
        self.stack.append(_Open(YamlNode(kind, one, _tag(event)), event.anchor))

    def _end(self) -> None:
        top = self.stack.pop()
        for source, span in top.merges:
            self._merge(top.node, source, span)
        self._add(top.node, top.anchor)

    def _add(self, node: YamlNode, anchor: str | None) -> None:
        """Put a finished node where it belongs: a key, a value, an item, or the root."""
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if top.node.kind is YamlKind.LIST:
            top.node.items.append(node)
        elif top.key is None:
            if node.kind is not YamlKind.SCALAR:
                raise YamlError(f"a key must be a single value, not {node.kind.value}", node.span)
            top.key = node
            here, first = node.span, top.node.span
            if (here.line, here.column) == (first.line, first.column):
                top.node.span = here  # a mapping without braces is shown by its first key
        else:
            key, top.key = top.key, None
            self._pair(top, key, node)

    def _pair(self, top: _Open, key: YamlNode, value: YamlNode) -> None:
        if key.text == "<<" and key.plain:
            top.merges.append((value, key.span))
            return
        before = top.node.keys.get(key.text)
        if before is not None:
            hint = f"the first is in line {before.span.line}"
            raise YamlError(f"the key {key.text!r} is given twice in one mapping", key.span, hint)
        top.node.keys[key.text] = Key(key.span, value)

    def _merge(self, node: YamlNode, source: YamlNode, span: Span) -> None:
        """Merge keys: what `node` has itself wins, then the earlier of several sources."""
        for one in source.items if source.kind is YamlKind.LIST else [source]:
            if one.kind is not YamlKind.MAP:
                raise YamlError("<< needs a mapping, or a list of mappings, to merge", span)
            self.made += len(one.keys)
            if self.made > MAX_KEYS:
                raise YamlError("merging with << makes too many keys", span)
            for name, key in one.keys.items():
                node.keys.setdefault(name, key)


def _tag(event: Any) -> str:
    tag = event.tag
    if tag is None:
        return ""
    if tag not in _TAGS:
        short = "!!" + tag[len(_PREFIX) :] if tag.startswith(_PREFIX) else tag
        hint = "give binary contents as `source: data:;base64,…` or `local:`" if short == "!!binary" else ""
        raise YamlError(f"the tag {short} is not supported", _span(event), hint or "remove the tag")
    return "str" if tag == "!" else str(tag[len(_PREFIX) :])


def _span(event: Any) -> Span:
    a, b = event.start_mark, event.end_mark
    return Span(a.line + 1, a.column + 1, b.line + 1, b.column + 1)


def _position(text: str, offset: int, *, in_bytes: bool) -> Span:
    """Where a reader stopped: the C reader counts bytes, the Python reader characters."""
    if in_bytes:
        offset = len(text.encode()[:offset].decode("utf-8", "ignore"))
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    return Span(line, column, line, column + 1)


def _reason(error: Any) -> str:
    char = error.character
    return f"U+{char:04X}" if isinstance(char, int) else f"{char!r}"


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> YamlError:
    mark = error.problem_mark or error.context_mark
    span = START if mark is None else Span(mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2)
    lines = text.splitlines()
    around = lines[max(0, span.line - 2) : span.line]
    hint = ""
    if any(line[: len(line) - len(line.lstrip())].count("\t") for line in around):
        hint = "YAML is indented with spaces; there is a tab here"
    elif "mapping values are not allowed" in (error.problem or ""):
        hint = "a value that holds `: ` needs quotes, or this line is indented too far"
    what = ", ".join(part for part in (error.context, error.problem) if part)
    return YamlError(f"not valid YAML: {what}", span, hint)
