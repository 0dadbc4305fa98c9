"""Rules about contents, configs and certificates: where they come from and how they are checked."""

from __future__ import annotations

from orlop.provision.report import Report
from orlop.provision.rules import urls
from orlop.provision.tree import Obj, walk

_HEX = {"sha256": 64, "sha512": 128}


def check(root: Obj, report: Report) -> None:
    for obj in walk(root):
        if obj.type.name == "resource":
            _resource(obj, report)
        elif obj.type.name == "tang":
            if reason := urls.http_problem(obj.text("url") or ""):
                report.error(obj.at("url"), f"url: {reason}")
        elif obj.type.name == "proxy":
            _proxy(obj, report)
    ignition = root.obj("ignition")
    required = ignition.obj("config").objs("merge")
    required += ignition.obj("security").obj("tls").objs("certificate_authorities")
    for resource in required:
        if not resource.text("source"):
            report.error(resource.place, "this has no contents", "give one of source, inline and local")


def _resource(resource: Obj, report: Report) -> None:
    source = resource.text("source")
    if resource.text("compression") not in (None, "", "gzip"):
        report.error(resource.at("compression"), "unknown compression", "`gzip`, or leave it out")
    elif resource.text("compression") and urls.scheme(source or "") == "s3":
        report.error(resource.at("compression"), "Ignition does not unpack what it gets from S3", "store it unpacked")
    if source and (reason := urls.source_problem(source)):
        hint = "name the object itself: `s3://BUCKET/KEY`" if urls.scheme(source) == "arn" else ""
        report.error(resource.at("source"), f"source: {reason}", hint)
    headers = resource.objs("http_headers")
    if headers and urls.scheme(source or "") not in ("http", "https"):
        report.error(resource.at("http_headers"), "headers need a source with http or https")
    for header in headers:
        if header.text("value") == "":
            report.error(
                header.at("value"), "the value of a header cannot be empty", "leave it out to remove the header"
            )
    _hash(resource, report)


def _hash(resource: Obj, report: Report) -> None:
    verification = resource.obj("verification")
    value = verification.text("hash")
    if value is None:
        return
    place = verification.at("hash")
    if not resource.has("source"):
        report.error(place, "a hash needs contents to check", "give one of source, inline and local")
    kind, dash, digits = value.partition("-")
    if not dash:
        report.error(place, "the hash says not which kind it is", "write it as `sha256-` or `sha512-` and hex digits")
    elif kind not in _HEX:
        report.error(place, f"unknown kind of hash {kind!r}", "`sha256` or `sha512`")
    elif len(digits) != _HEX[kind] or not all(c in "0123456789abcdefABCDEF" for c in digits):
        report.error(place, f"a {kind} hash has {_HEX[kind]} hex digits")


def _proxy(proxy: Obj, report: Report) -> None:
    for name in ("http_proxy", "https_proxy"):
        url = proxy.text(name)
        if url is None:
            continue
        if reason := urls.http_problem(url):
            report.error(proxy.at(name), f"{name}: {reason}")
        elif name == "https_proxy" and urls.scheme(url) == "http":
            report.warn(
                proxy.at(name), "what goes over https is told to a proxy in the clear", "use a proxy with https"
            )
