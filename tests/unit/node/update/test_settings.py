"""What a configuration says about updates is what the engine reads, or it is refused by name."""

from __future__ import annotations

import contextlib
import gzip
import json
import urllib.request
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.channel import NAME
from orlop.model.decide import Settings
from orlop.model.reboot import Immediate, Off, Window
from orlop.model.version import Version
from orlop.node.update.fleetlock import FleetLock
from orlop.node.update.settings import UpdateSettings, load, parse
from orlop.provision.translate import translate
from orlop.trust.route import route

EVERYTHING = """\
update:
  channel: beta
  urls: ['https://releases.example/orlop', 'http://192.0.2.7:8080']
  group: web
  pin: 20261201.1
  proxy: 'http://user:secret@proxy.example:3128'
  no_proxy: [localhost, .example.net]
  bandwidth: 2M
  check_every: 90s
  strategy: window
  window: {days: [sat, sun], start: '22:30', minutes: 90, timezone: Europe/Berlin}
  lock: {url: 'https://lock.example', group: web.eu}
"""


def written(butane: str) -> bytes:
    """The file that a configuration's short form becomes, by the translator itself."""
    found = translate(f"variant: orlop\nversion: 1.0.0\n{butane}".encode())
    assert found.ignition is not None, found.report.entries
    files = {f["path"]: f for f in json.loads(found.ignition)["storage"]["files"]}
    contents = files["/etc/orlop/update.toml"]["contents"]
    with urllib.request.urlopen(contents["source"]) as data:  # a data URL: nothing is fetched
        raw: bytes = data.read()
    return gzip.decompress(raw) if contents.get("compression") else raw


def test_everything_a_configuration_can_say_is_read() -> None:
    settings = parse(written(EVERYTHING))
    assert (settings.channel, settings.group, settings.pin) == ("beta", "web", Version.parse("20261201.1"))
    assert settings.urls == ("https://releases.example/orlop", "http://192.0.2.7:8080")
    assert settings.engine.check_every == settings.engine.first_within == timedelta(seconds=90)
    assert settings.bandwidth == 2_000_000
    assert settings.environment() == {
        "http_proxy": "http://user:secret@proxy.example:3128",
        "https_proxy": "http://user:secret@proxy.example:3128",
        "no_proxy": "localhost,.example.net",
    }
    window = settings.engine.strategy
    assert isinstance(window, Window)
    assert (window.days, window.start, window.length) == (frozenset({5, 6}), time(22, 30), timedelta(minutes=90))
    saturday = datetime(2026, 11, 28, 21, 45, tzinfo=UTC)  # 22:45 in Berlin
    assert window.opened(saturday) == datetime(2026, 11, 28, 21, 30, tzinfo=UTC)
    assert settings.reboot_lock("id") == FleetLock("https://lock.example", "id", "web.eu")


@pytest.mark.parametrize(("word", "kind"), [("immediate", Immediate), ("off", Off)])
def test_a_strategy_is_known_by_its_name(word: str, kind: type) -> None:
    assert isinstance(parse(written(f"update: {{strategy: '{word}'}}\n")).engine.strategy, kind)


@pytest.mark.parametrize(
    ("word", "every", "first"), [("10s", 10, 10), ("3m", 180, 180), ("5m", 300, 180), ("4h", 14400, 180)]
)
def test_checks_are_so_far_apart_and_the_first_never_later_than_the_spread(word: str, every: int, first: int) -> None:
    engine = parse(written(f"update: {{check_every: {word}}}\n")).engine
    assert (engine.check_every, engine.first_within) == (timedelta(seconds=every), timedelta(seconds=first))


@given(st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True))
def test_a_configuration_takes_the_names_that_a_repository_has(name: str) -> None:
    found = translate(f"variant: orlop\nversion: 1.0.0\nupdate: {{channel: '{name}', group: '{name}'}}\n".encode())
    assert (found.ignition is not None) == bool(NAME.fullmatch(name))


def test_without_a_file_the_defaults_count(tmp_path: Path) -> None:
    assert load(tmp_path / "none") == UpdateSettings() == parse(b"format = 1\n")
    assert UpdateSettings().engine == Settings(first_within=timedelta(minutes=3))
    assert UpdateSettings().reboot_lock("id") is None
    assert UpdateSettings().environment() == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "format is missing"),
        ("format = 2", "format is 2, and this version of Orlop reads format 1"),
        ("format = true", "format is no whole number"),
        ("format = 1\nchanel = 'beta'", "chanel is unknown here; known are format, channel"),
        ("format = 1\nchannel = 'Beta'", "channel: 'Beta' is no name"),
        ("format = 1\nchannel = 7", "channel is no text"),
        ("format = 1\ngroup = ''", "group: '' is no name"),
        ("format = 1\nchannel = '1st'", "channel: '1st' is no name"),
        (f"format = 1\nchannel = '{'a' * 32}'", "is no name"),
        ("format = 1\npin = '20261301.1'", "pin is '20261301.1', must be a version"),
        ("format = 1\nurls = 'https://a.example'", "urls is no list"),
        ("format = 1\nurls = [1]", "urls[0] is no text"),
        ("format = 1\nurls = ['ftp://a.example']", "urls: 'ftp://a.example' is nowhere to fetch from"),
        ("format = 1\nurls = ['https://']", "'https://' is nowhere to fetch from"),
        ("format = 1\nurls = ['http://u:secret@[bad']", "urls: '[bad' is nowhere to fetch from: the address in"),
        ("format = 1\nurls = ['http://h:99999/']", "the port is no number up to 65535"),
        ("format = 1\nurls = ['http://h/é']", "it holds a space or a character beyond ASCII"),
        ("format = 1\nurls = ['http://a..b/']", "a part of the host name is empty"),
        ("format = 1\nurls = ['file:///a%00b']", "it holds a character that cannot be in a name"),
        ("format = 1\nproxy = 'http://[bad'", "the address in brackets is malformed"),
        ("format = 1\nproxy = 'http://h:99999'", "the port is no number up to 65535"),
        ("format = 1\n[lock]\nurl = 'http://[bad'", "is no lock service: the address in brackets is malformed"),
        ("format = 1\n[lock]\nurl = 'http://h:99999'", "is no lock service: the port is no number up to 65535"),
        ("format = 1\n[lock]\nurl = 'http://höst'", "is no lock service: it holds a space or a character beyond ASCII"),
        ("format = 1\nproxy = 'https://a:s@b.example'", "proxy: 'https://b.example' is none"),
        ("format = 1\nproxy = 'http://'", "proxy: 'http://' is none: it names no host"),
        ("format = 1\nno_proxy = ['a, b']", "no_proxy: 'a, b' is no host"),
        ("format = 1\nbandwidth = 5", "bandwidth is no text"),
        ("format = 1\nbandwidth = '9k'", "bandwidth: '9k' cannot be"),
        ("format = 1\nbandwidth = '2G'", "bandwidth: '2G' cannot be"),
        ("format = 1\ncheck_every = 5", "check_every is no text"),
        ("format = 1\ncheck_every = '5 min'", "check_every: '5 min' is no length of time"),
        ("format = 1\ncheck_every = '9s'", "check_every: 9s cannot be"),
        ("format = 1\ncheck_every = '5h'", "check_every: 5h cannot be"),
        ("format = 1\nstrategy = 'now'", "strategy: 'now' is none"),
        ("format = 1\nstrategy = 'window'", "the strategy `window` needs a window"),
        ("format = 1\n[window]\nminutes = 5", "window.start is missing"),
        ("format = 1\n[window]\nstart = '2 pm'\nminutes = 5", "'2 pm' is no time of day"),
        ("format = 1\n[window]\nstart = '02:00'\nminutes = 0", "a reboot window of 0 minutes cannot be"),
        ("format = 1\n[window]\nstart = '02:00'\nminutes = 5\ntimezone = 'Mars/A'", "there is no time zone 'Mars/A'"),
        ("format = 1\n[window]\nstart = '02:00'\nminutes = 5\nend = '3'", "window.end is unknown here; known are days"),
        ("format = 1\n[lock]\ngroup = 'a'", "lock.url is missing"),
        ("format = 1\n[lock]\nurl = 'lock.example'", "'lock.example' is no lock service"),
        ("format = 1\n[lock]\nurl = 'http://a.example'\ngroup = 'a b'", "'a b' is no group of a lock"),
        ("format = 1\nformat = 1", "it is no TOML"),
        ("x" * (1 << 16) + "x", "it has more than 65536 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_of_the_file_counts(tmp_path: Path, text: str, said: str) -> None:
    place = tmp_path / "update.toml"
    place.write_text(text)
    with pytest.raises(BadInput) as raised:
        load(place)
    assert raised.value.message.startswith(f"{place}: ")
    assert said in raised.value.message
    assert raised.value.hint


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        load(tmp_path)


_WORDS = """http:// https:// HTTPS:// a b.example [::1] [::1%25eth0] [v1.a] [bad 256.1.1.1 :80 :99999 :0x1 .. u:p@ %20
    %zz // xn--a é \u2024 \u0130 [ ] : / @ ? # % ."""
_PARTS = st.sampled_from([*_WORDS.split(), " ", "\t", "a" * 64])
ADDRESSES = st.lists(_PARTS, max_size=6).map("".join) | st.lists(_PARTS, max_size=4).map(
    lambda parts: "http://" + "".join(parts)
)


@given(ADDRESSES, st.sampled_from(["urls: ['{}']", "proxy: '{}'", "lock: {{url: '{}'}}"]))
def test_an_address_that_a_configuration_takes_can_be_used_by_the_machine(url: str, key: str) -> None:
    found = translate(f"variant: orlop\nversion: 1.0.0\nupdate:\n  {key.format(url)}\n".encode())
    if found.ignition is None:
        assert found.report.entries
        return
    settings = parse(written(f"update:\n  {key.format(url)}\n"))
    for address in filter(None, (*settings.urls, settings.proxy, settings.lock and settings.lock[0])):
        way = route(address)
        assert way.target.isascii() and (way.url.hostname or "").encode("idna")


@given(ADDRESSES, st.sampled_from(["urls = ['{}']", "proxy = '{}'", "[lock]\nurl = '{}'"]))
def test_no_address_is_more_than_refused(url: str, key: str) -> None:
    with contextlib.suppress(BadInput):
        parse(("format = 1\n" + key.format(url)).encode())


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: ("format = 1\n" + t).encode())))
def test_no_bytes_are_more_than_refused(raw: bytes) -> None:
    try:
        found = parse(raw)
    except BadInput:
        return
    assert isinstance(found, UpdateSettings)
