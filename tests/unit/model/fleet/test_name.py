"""Names as fleet took them, with its limits, its mangling and its specifiers."""

from __future__ import annotations

import pytest

from orlop.errors import BadInput
from orlop.model.fleet import quadlet
from orlop.model.fleet.name import SYSTEMD, WITH_INSTANCES, mangled, parse, split, trouble

GOOD = [f"a.{kind}" for kind in SYSTEMD] + [f"a@1.{kind}" for kind in WITH_INSTANCES]
GOOD += ["a" * 248 + ".service", r"var-a\x2db.mount", "A:b_c-d.e.service", "web@.service", "web@a@b.service"]
BAD = {
    "": "empty",
    "a" * 249 + ".service": "256",
    "web": "must end in",
    "web.": "its type",
    "web.conf": ".conf is not one of",
    ".service": "something before",
    "we b.service": "' ' must not",
    "wéb.service": "'é' must not",
    "a/b.service": "'/' must not",
    "a\nb.service": "must not be in it",
    "@1.service": "must not begin with @",
    "..service": "dot",
    "a@1.mount": "no templates",
}


@pytest.mark.parametrize("name", GOOD)
def test_it_is_a_name(name: str) -> None:
    assert trouble(name) == ""
    assert parse(name).full == name


@pytest.mark.parametrize(("name", "why"), BAD.items())
def test_it_is_no_name(name: str, why: str) -> None:
    assert why in trouble(name)
    with pytest.raises(BadInput, match="is not a valid name of a unit"):
        parse(name)


PARTS = {
    "foo.service": ("foo", "foo", "", ""),
    "foo@.service": ("foo@", "foo", "foo@.service", ""),
    "foo@bar.service": ("foo@bar", "foo", "foo@.service", "bar"),
    "foo@bar@baz.service": ("foo@bar@baz", "foo", "foo@.service", "bar@baz"),
    "foo.1@9.socket": ("foo.1@9", "foo.1", "foo.1@.socket", "9"),
}


@pytest.mark.parametrize(("name", "parts"), PARTS.items())
def test_its_parts(name: str, parts: tuple[str, str, str, str]) -> None:
    found = split(name)
    assert (found.name, found.prefix, found.template, found.instance) == parts
    assert found.is_template == name.startswith("foo@.") and found.is_instance == bool(parts[3])


def test_specifiers() -> None:
    assert split("foo@bar.waldo").fill("%n|%N|%p|%i|%%i|%x") == "foo@bar.waldo|foo@bar|foo|bar|%bar|%x"
    assert split("web@.container").of("3") == "web@3.container"


MANGLED = {
    "hello": "hello.service",
    "hello.service": "hello.service",
    "/tmp/a/hello.socket": "hello.socket",
    "hello.txt": "hello.txt.service",
    "hello.target": "hello.target.service",
    "service": "service.service",
    "web.container": "web.container",
}


@pytest.mark.parametrize(("given", "meant"), MANGLED.items())
def test_short_names_are_services(given: str, meant: str) -> None:
    assert mangled(given) == meant


SERVICES = {
    "a.service": "a.service",
    "a.timer": "a.timer",
    "a.container": "a.service",
    "a@1.container": "a@1.service",
    "a.kube": "a.service",
    "a.volume": "a-volume.service",
    "a.network": "a-network.service",
    "a.pod": "a-pod.service",
    "a@2.volume": "a-volume@2.service",
}


@pytest.mark.parametrize(("file", "service"), SERVICES.items())
def test_what_quadlet_makes_of_a_file(file: str, service: str) -> None:
    assert quadlet.service(file) == service
