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
from orlop.model.update.decide import Settings
from orlop.model.update.reboot import Immediate, Off, Window
from orlop.model.words.name import is_channel
from orlop.model.words.version import Version
from orlop.net.route import route
from orlop.node.update.fleetlock import FleetLock
from orlop.node.update.settings import UpdateSettings, load, parse
from orlop.provision.translate import translate

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
    assert (found.ignition is not None) == is_channel(name)


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
        ("format = true", "format must be a whole number"),
        ("format = 1\nchanel = 'beta'", "chanel is unknown here; known are channel"),
        ("format = 1\nchannel = 'Beta'", "channel must be a small letter, then at most 30"),
        ("format = 1\nchannel = 7", "channel must be text"),
        ("format = 1\ngroup = ''", "small letters, digits and -, not ''"),
        ("format = 1\nchannel = '1st'", "targets, snapshot, timestamp, not '1st'"),
        (f"format = 1\nchannel = '{'a' * 32}'", "channel must be a small letter"),
        ("format = 1\npin = '20261301.1'", "pin must be a version such as 20261123.1, not '20261301.1'"),
        ("format = 1\nurls = 'https://a.example'", "urls must be a list"),
        ("format = 1\nurls = [1]", "urls[0] must be text"),
        ("format = 1\nurls = ['ftp://a.example']", "urls[0] must be http://…, https://… or file:///FOLDER"),
        ("format = 1\nurls = ['https://']", "or file:///FOLDER: it names no host"),
        ("format = 1\nurls = ['http://u:secret@[bad']", "or file:///FOLDER: the address in"),
        ("format = 1\nurls = ['http://h:99999/']", "the port must be a number up to 65535"),
        ("format = 1\nurls = ['http://h/é']", "it holds a space or a character beyond ASCII"),
        ("format = 1\nurls = ['http://a..b/']", "a part of the host name is empty"),
        ("format = 1\nurls = ['file:///a%00b']", "it holds a character that cannot be in a name"),
        ("format = 1\nproxy = 'http://[bad'", "the address in brackets is malformed"),
        ("format = 1\nproxy = 'http://h:99999'", "the port must be a number up to 65535"),
        ("format = 1\n[lock]\nurl = 'http://[bad'", "lock.url must be http://… or https://…: the address in"),
        ("format = 1\n[lock]\nurl = 'http://h:99999'", "or https://…: the port must be a number up to 65535"),
        ("format = 1\n[lock]\nurl = 'http://höst'", "lock.url must be http://… or https://…: it holds a space"),
        ("format = 1\nproxy = 'https://a:s@b.example'", "HOST:PORT: the proxy itself is spoken to in http"),
        ("format = 1\nproxy = 'http://'", "HOST:PORT: it names no host"),
        ("format = 1\nno_proxy = ['a, b']", "no_proxy[0] must be the name of a host"),
        ("format = 1\nbandwidth = 5", "bandwidth must be text"),
        ("format = 1\nbandwidth = '9k'", "bytes a second, from 10k to 99999M, not '9k'"),
        ("format = 1\nbandwidth = '2G'", "from 10k to 99999M, not '2G'"),
        ("format = 1\ncheck_every = 5", "check_every must be text"),
        ("format = 1\ncheck_every = '5 min'", "a number and s, m or h, from 10s to 4h, not '5 min'"),
        ("format = 1\ncheck_every = '9s'", "from 10s to 4h, not '9s'"),
        ("format = 1\ncheck_every = '5h'", "from 10s to 4h, not '5h'"),
        ("format = 1\nurls = ['http://a/', 'http://a/']", "urls[1] is there twice"),
        (f"format = 1\nurls = {[f'http://a/{n}' for n in range(17)]}", "urls has 17 entries, at most 16 are read"),
        ("format = 1\nchannel = 'targets'", "none of root, targets, snapshot, timestamp, not 'targets'"),
        ("format = 1\n[window]\nstart = '2:00'\nminutes = 5", "a time as in `02:30`, not '2:00'"),
        ("format = 1\n[window]\nstart = '02:00'\nminutes = 10081", "window.minutes must be 1 to 10080 minutes"),
        ("format = 1\n[window]\nstart = '02:00'\nminutes = true", "window.minutes must be a whole number"),
        ("format = 1\n[window]\nstart = '02:00'\nminutes = 5\ndays = ['Sat']", "days[0] must be one of mon, tue"),
        ("format = 1\nlock = 5", "lock must be an object"),
        ("format = 1\nstrategy = 'now'", "strategy must be one of immediate, window, off, not 'now'"),
        ("format = 1\nstrategy = 'window'", "strategy cannot be window without a window"),
        ("format = 1\n[window]\nminutes = 5", "window.start is missing"),
        ("format = 1\n[window]\nstart = '2 pm'\nminutes = 5", "a time as in `02:30`, not '2 pm'"),
        ("format = 1\n[window]\nstart = '02:00'\nminutes = 0", "must be 1 to 10080 minutes, not 0"),
        ("format = 1\n[window]\nstart = '02:00'\nminutes = 5\ntimezone = 'Mars/A'", "or Europe/Berlin, not 'Mars/A'"),
        ("format = 1\n[window]\nstart = '02:00'\nminutes = 5\nend = '3'", "window.end is unknown here; known are days"),
        ("format = 1\n[lock]\ngroup = 'a'", "lock.url is missing"),
        ("format = 1\n[lock]\nurl = 'lock.example'", "https://…: it must begin"),
        ("format = 1\n[lock]\nurl = 'http://a.example'\ngroup = 'a b'", "lock.group must be letters"),
        ("format = 1\nformat = 1", "it is not TOML"),
        ("x" * (1 << 18) + "x", "it has more than 262144 bytes"),
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
