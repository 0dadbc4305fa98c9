"""A record of a cluster as bytes: JSON without spaces, an object whose `schema` says which format it has. Pure.

Who reads one refuses another format in words: servers of two versions work side by side while a cluster is updated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orlop.errors import BadInput
from orlop.model.words.strict import Fields, parse_json


def record_text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def record_fields(what: str, raw: bytes, *, schema: int, most: int) -> Fields:
    """The fields of one of at most so many bytes. Raises BadInput; `what` names it where its format is another one."""
    f = Fields.of("", parse_json(raw, most))
    try:
        f.number("schema", schema, schema)
    except BadInput:
        raise BadInput(f"{what} has another format than {schema}: a newer server wrote it") from None
    return f
