"""What we accept, Ignition accepts: its own `ignition-validate` is asked about configs, URLs and units of every shape.

Several configs go into one process of the oracle, or starting it would be most of the time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orlop.provision.filesdir import FilesDir
from orlop.provision.rules.unitfile import parse
from orlop.provision.rules.urls import source_problem
from orlop.provision.schema import Type
from orlop.provision.spec_variants import FCOS
from orlop.provision.translate import translate
from orlop.sdk.tree import ensure as ensure_sdk
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.contracts.provision.configs import ROOT, configs
from tests.contracts.provision.oracle import refused, with_file, with_unit
from tests.unit.provision.texts import own

pytestmark = pytest.mark.sdk


def _batches(examples: int) -> settings:
    """Each example is a batch, large on purpose."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def ws() -> Workspace:
    found = Workspace.find()
    ensure_sdk(found, Steps())
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FilesDir:
    """The files that generated configs name: see POOLS in `configs`."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "one").write_text("compressible\n" * 50)
    (folder / "two").write_text("")
    (folder / "root.json").write_text(ROOT)
    (folder / "bin").write_bytes(bytes(range(256)))
    (folder / "web").write_text("[Container]\nImage=x\n")
    (folder / "keys").write_text("ssh-ed25519 AAAA me\n\nssh-rsa BBBB\n")
    (folder / "tree" / "sub").mkdir(parents=True)
    (folder / "tree" / "sub" / "file").write_text("x")
    (folder / "tree" / "link").symlink_to("sub/file")
    return FilesDir(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("oracle") / "configs"


class TestAccepted:
    @_batches(20)
    @given(st.lists(configs(), min_size=20, max_size=25))
    def test_every_config(self, ws: Workspace, files: FilesDir, folder: Path, texts: list[str]) -> None:
        done = [(text, translate(text.encode(), files)) for text in texts]
        accepted = [(text, result.ignition) for text, result in done if result.ignition is not None]
        for index, said in refused(ws, folder, [out for _, out in accepted]).items():
            raise AssertionError(f"{said}\n{accepted[index][0]}")

    @_batches(15)
    @given(
        st.lists(st.text(st.sampled_from("abAZ09:/?#[]@!$&'()*+,;=%-._~ \"<>\\^`{|}é\n\x7f")), min_size=40, max_size=40)
    )
    def test_every_url(self, ws: Workspace, folder: Path, parts: list[str]) -> None:
        heads = ("http://", "https://", "s3://a/", "data:", "data:;base64,", "data:text/plain;a=", "http://[", "")
        urls = [heads[index % len(heads)] + part for index, part in enumerate(parts)]
        accepted = [url for url in urls if url and not source_problem(url)]
        for index, said in refused(ws, folder, [with_file({"source": url}) for url in accepted]).items():
            raise AssertionError(f"{said}\n{accepted[index]!r}")

    @_batches(15)
    @given(
        st.lists(st.text(st.sampled_from("[]=\\\n\r \tab#;\x85\xa0\u2003\x1cü"), max_size=30), min_size=40, max_size=40)
    )
    def test_every_unit(self, ws: Workspace, folder: Path, texts: list[str]) -> None:
        texts = [("[U]\n" if index % 2 else "") + text for index, text in enumerate(texts)]
        wrong = refused(ws, folder, [with_unit(text) for text in texts])
        for index, text in enumerate(texts):
            assert bool(parse(text).problem) == (index in wrong), (text, wrong.get(index))


def _keys(kind: Type, above: str = "") -> Iterator[str]:
    """Every key of Ignition's JSON below an object of this kind, as `storage.files.path`."""
    for field in kind.fields:
        if field.out is not None:
            yield above + field.out
            if isinstance(field.kind, Type):
                yield from _keys(field.kind, f"{above}{field.out}.")


def _used(value: object, above: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _used(item, above)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield above + key
            yield from _used(inner, f"{above}{key}.")


def test_every_key(ws: Workspace, files: FilesDir, folder: Path) -> None:
    """Chance reaches most keys; this config has all of them, and Ignition takes it."""
    result = translate(Path(__file__).with_name("everything.bu").read_bytes(), files)
    assert result.ignition is not None, result.report.entries
    assert own(result) == []
    newer = {f"storage.{key}" for key in ("luks.cex", "luks.cex.enabled", "luks.discard", "luks.openOptions")}
    newer.add("storage.luks.clevis.tang.advertisement")
    assert set(_keys(FCOS)) - set(_used(json.loads(result.ignition))) == newer
    assert refused(ws, folder, [result.ignition]) == {}


@pytest.mark.parametrize("length", [2046, 2047, 2048, 2049, 5000])
@pytest.mark.parametrize("before", [0, 3000, 4000, 4095])
def test_long_lines(ws: Workspace, folder: Path, length: int, before: int) -> None:
    """Ignition's reader sees a long line only when it is in its buffer: what we accept is a part of what it accepts."""
    text = "[Unit]\n" + "#\n" * (before // 2) + "A=" + "x" * (length - 2) + "\n"
    if not parse(text).problem:
        assert refused(ws, folder, [with_unit(text)]) == {}
    assert bool(parse(text).problem) == (length > 2047)


# What Ignition takes, we take as well: the other direction, where it matters to people.
TAKEN = [
    "http://example.com",
    "https://user@example.com/a?b=c#d",
    "https://example.com:/x",
    "tftp://example.com:69/foobar.txt",
    "s3://bucket/key",
    "s3://bucket/key?versionId=aVersionHash",
    "gs://bucket/object",
    "data:,example%20file%0A",
    "data:",
    "data:text/plain;charset=utf-8;base64,eA==",
    "data:application/octet-stream,",
    "http://[::1]/x",
]


def test_common_urls(ws: Workspace, folder: Path) -> None:
    theirs = refused(ws, folder, [with_file({"source": url}) for url in TAKEN])
    for index, url in enumerate(TAKEN):
        assert bool(source_problem(url)) == (index in theirs), url


def test_the_oracle_refuses(ws: Workspace, folder: Path) -> None:
    """An oracle that takes everything would prove nothing."""
    wrong = [with_file({"source": "x:y"}), json.dumps({"ignition": {"version": "9.0.0"}}), "{"]
    assert set(refused(ws, folder, wrong)) == {0, 1, 2}
