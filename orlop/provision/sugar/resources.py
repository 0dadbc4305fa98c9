"""`inline` and `local` become data URLs, each in the shortest of three forms; explicit about compression.

Why explicit: when configs are merged, a child that says nothing would inherit the compression of its parent.
"""

from __future__ import annotations

import base64
import hashlib
import zlib

from orlop.provision.local import LocalError, LocalFiles
from orlop.provision.report import Report
from orlop.provision.source import Place
from orlop.provision.tree import Obj, Seq, Value

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
_ESCAPED = [chr(b) if b in _UNRESERVED else f"%{b:02X}" for b in range(256)]
_SMALL = 64  # nothing shorter can gain by gzip's header and base64


def data_url(data: bytes, *, compress: bool = True) -> tuple[str, str]:
    """(URL, compression): percent-encoded, base64 or gzip in base64, whichever is shortest."""
    best = "," + "".join(map(_ESCAPED.__getitem__, data))
    plain = ";base64," + base64.b64encode(data).decode()
    if len(plain) < len(best):
        best = plain
    if compress and len(best) > _SMALL:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)  # 31: gzip without name and time, so the same every time
        packed = ";base64," + base64.b64encode(packer.compress(data) + packer.flush()).decode()
        if len(packed) + len("gzip") < len(best):
            return "data:" + packed, "gzip"
    return "data:" + best, ""


def with_data(resource: Obj, data: bytes, place: Place) -> Obj:
    """The resource with `data` as its source. What the user says about compression stays: then it is compressed."""
    own = bool(resource.text("compression"))
    url, compression = data_url(data, compress=not own)
    resource = resource.put("source", url, place)
    return resource if own else resource.put("compression", compression, place)


def desugar(obj: Obj, files: LocalFiles, report: Report) -> Obj:
    """`obj` with every resource below it made plain."""
    values: dict[str, Value] = {}
    for name, value in obj.values.items():
        values[name] = value
        if isinstance(value, Obj):
            values[name] = desugar(value, files, report)
        elif isinstance(value, Seq) and value.objects():
            plain = tuple(desugar(item, files, report) for item in value.objects())
            values[name] = Seq(value.place, plain, value.places)
    obj = Obj(obj.type, obj.place, values, obj.places)
    return _resource(obj, files, report) if obj.type.name == "resource" else obj


def _resource(resource: Obj, files: LocalFiles, report: Report) -> Obj:
    given = [name for name in ("local", "inline", "source") if resource.has(name)]
    if len(given) > 1:
        names = " and ".join(sorted(given))
        report.error(resource.at(given[-1]), f"{names} are both given", "one of source, inline and local says it all")
        return resource
    inline, local = resource.text("inline"), resource.text("local")
    if inline is not None:
        data, place = inline.encode(), resource.at("inline")
    elif local is not None:
        place = resource.at("local")
        read_data = read(files, local, place, report)
        if read_data is None:
            return resource.put("source", "data:,", place)  # so that the rules do not miss it a second time
        data = read_data
    else:
        return resource
    _check_hash(resource, data, report)
    return with_data(resource, data, place)


def read(files: LocalFiles, path: str, place: Place, report: Report) -> bytes | None:
    """A local file; an error in the report, and None, if it cannot be had."""
    try:
        return files.read(path)
    except LocalError as e:
        report.error(place, e.message, e.hint)
        return None


def _check_hash(resource: Obj, data: bytes, report: Report) -> None:
    """A hash that cannot fit would stop the machine at boot; say so now."""
    verification = resource.obj("verification")
    kind, _, wanted = (verification.text("hash") or "").partition("-")
    if kind not in ("sha256", "sha512") or resource.text("compression"):
        return
    is_ = hashlib.new(kind, data).hexdigest()
    if is_ != wanted.lower():
        report.error(verification.at("hash"), "the hash is not that of the contents given here", f"it is {kind}-{is_}")
