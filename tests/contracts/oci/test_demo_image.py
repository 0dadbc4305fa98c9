"""The demo image as others see it: skopeo and a real registry take it, and its server really answers."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from orlop.oci import demo
from orlop.oci.layout import LAYER_GZIP, OciImage, read
from orlop.processes import end_group
from orlop.sdk.run import in_sdk, sdk_run
from orlop.sdk.tree import ensure as ensure_sdk
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = pytest.mark.sdk

START_SECONDS = 20.0


@pytest.fixture(scope="module")
def ws() -> Workspace:
    found = Workspace.find()
    ensure_sdk(found, Steps())
    return found


@pytest.fixture(scope="module")
def layout(ws: Workspace) -> Path:
    return demo.ensure(ws, Steps(quiet=True))


@pytest.fixture(scope="module")
def image(layout: Path) -> OciImage:
    return read(layout, demo.REF)


@pytest.fixture(scope="module")
def root(layout: Path, image: OciImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's files, unpacked. Owners are left out: inside the user namespace the caller is nobody."""
    folder = tmp_path_factory.mktemp("root")
    with tarfile.open(layout / image.layers[0].blob) as tar:
        tar.extractall(folder, filter="data")
    return folder


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def fetch(port: int, path: str = "/") -> str:
    """The body, once the server answers; a refused connection is tried again for START_SECONDS."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextmanager
def running(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield child
    finally:
        end_group(child)


def container(root: Path, image: OciImage, env: Mapping[str, str], *options: str) -> list[str]:
    """Bubblewrap as a small container runtime: the image's user, command and environment, process 1 included."""
    config = image.config["config"]
    uid, gid = config["User"].split(":")
    argv = ["bwrap", "--bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--clearenv"]
    argv += ["--unshare-user", "--unshare-pid", "--unshare-uts", "--as-pid-1", "--hostname", "box-7"]
    argv += ["--uid", uid, "--gid", gid, "--cap-drop", "ALL", "--die-with-parent", *options]
    for name, value in {**dict(item.split("=", 1) for item in config["Env"]), **env}.items():
        argv += ["--setenv", name, value]
    return [*argv, "--", *config["Entrypoint"]]


def test_skopeo_reads_it(ws: Workspace, layout: Path, image: OciImage) -> None:
    out = sdk_run(ws, ["skopeo", "inspect", "--config", f"oci:{layout}:{demo.REF}"], what="skopeo inspect")
    assert '"65534:65534"' in out
    digest = ["skopeo", "inspect", "--format", "{{.Digest}}", f"oci:{layout}:{demo.REF}"]
    assert sdk_run(ws, digest, what="skopeo inspect").strip() == image.manifest.digest


@pytest.mark.parametrize("compress", ["keep", "gzip"])
def test_a_registry_takes_it_and_gives_it_back(
    ws: Workspace, layout: Path, image: OciImage, tmp_path: Path, compress: str
) -> None:
    port = free_port()
    config = tmp_path / "registry.yml"
    config.write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/store}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}', secret: test}}\n"
        "log: {level: error}\n"
    )
    name = f"docker://127.0.0.1:{port}/orlop-demo:latest"
    argv = ["skopeo", "--insecure-policy", "copy"]
    keep = ["--preserve-digests"] if compress == "keep" else ["--dest-compress-format=gzip", "--dest-compress"]
    with running(in_sdk(ws, ["docker-registry", "serve", config], binds=[tmp_path])):
        assert fetch(port, "/v2/") == "{}"
        push = [*argv, *keep, "--dest-tls-verify=false", f"oci:{layout}:{demo.REF}", name]
        sdk_run(ws, push, what="pushing", binds=[tmp_path], timeout=60)
        pull = [*argv, "--preserve-digests", "--src-tls-verify=false", name, f"oci:{tmp_path}/back:{demo.REF}"]
        sdk_run(ws, pull, what="pulling", binds=[tmp_path], timeout=60)
    back = read(tmp_path / "back", demo.REF)
    assert back.config == image.config
    if compress == "keep":
        assert back.manifest.digest == image.manifest.digest
    else:
        assert [at.media_type for at in back.layers] == [LAYER_GZIP]


def test_the_page_names_machine_and_version(root: Path, image: OciImage) -> None:
    port = free_port()
    env = {"PORT": str(port), "MACHINE": "node-1", "OS_VERSION": "Orlop 20261123.1"}
    with running(container(root, image, env)):
        assert fetch(port, "/healthz") == "ok\n"
        page = fetch(port)
    assert "<h1>node-1</h1>" in page
    assert "<strong>Orlop 20261123.1</strong>" in page
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("release", "text"),
    [
        ('NAME="Orlop"\nPRETTY_NAME="Orlop 20261123.4"\n', "<strong>Orlop 20261123.4</strong>"),
        ("NAME=Orlop\nVERSION_ID='20261123.5'\n", "<strong>Orlop 20261123.5</strong>"),
        ("", "an operating system it was not told the name of"),
    ],
)
def test_the_version_comes_from_the_hosts_os_release(
    root: Path, image: OciImage, tmp_path: Path, release: str, text: str
) -> None:
    port = free_port()
    (tmp_path / "os-release").write_text(release)
    mount = ["--ro-bind", str(tmp_path / "os-release"), "/run/host-os-release"]
    with running(container(root, image, {"PORT": str(port)}, *mount)):
        page = fetch(port)
    assert text in page
    assert "<h1>box-7</h1>" in page


def test_told_nothing_it_still_says_something_sane_and_nothing_is_executed(root: Path, image: OciImage) -> None:
    port = free_port()
    env = {"PORT": str(port), "MACHINE": '<b>"$(reboot)`&'}
    with running(container(root, image, env)):
        page = fetch(port)
    assert "<h1>&lt;b&gt;&quot;$(reboot)`&amp;</h1>" in page
    assert "was not told" in page


def test_it_says_when_it_answers_and_a_proxy_is_not_asked(root: Path, image: OciImage) -> None:
    port = free_port()
    env = {"PORT": str(port), "http_proxy": f"http://127.0.0.1:{free_port()}"}
    child = subprocess.Popen(container(root, image, env), stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline().decode() == f"demo: answers on port {port}\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            assert answer.read() == b"ok\n"
    finally:
        end_group(child)
        child.stdout.close()


def test_a_server_that_cannot_start_ends_the_container(root: Path, image: OciImage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with running(container(root, image, {"PORT": str(taken.getsockname()[1])})) as child:
            assert child.wait(START_SECONDS) != 0


def test_a_read_only_root_with_a_tmp_is_enough(root: Path, image: OciImage) -> None:
    port = free_port()
    options = ["--remount-ro", "/", "--tmpfs", "/tmp"]
    with running(container(root, image, {"PORT": str(port), "MACHINE": "ro"}, *options)):
        assert "<h1>ro</h1>" in fetch(port)


def test_process_1_ends_at_once_on_sigterm(root: Path, image: OciImage) -> None:
    port = free_port()
    with running(container(root, image, {"PORT": str(port)})) as child:
        fetch(port, "/healthz")
        server = _process_1(child.pid)
        os.kill(server, signal.SIGTERM)
        assert child.wait(5) == 0  # who waits to be killed is given ten
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


def _process_1(bwrap: int) -> int:
    """The host's id of the container's process 1: bubblewrap's only child."""
    children = Path(f"/proc/{bwrap}/task/{bwrap}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])
