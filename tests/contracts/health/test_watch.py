"""Looking after a machine that runs: the real script in a shell of its own, over folders and fake programs.

Each test changes what the script looks at and waits until it says so; a look is every tenth of a second here.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

OS = Path(__file__).parents[3] / "os" / "mkosi.extra" / "usr" / "lib" / "orlop"
SECONDS = 30.0
SYSTEMCTL = """#!/bin/sh
for last in "$@"; do :; done
case $* in
    list-units*--state=failed*) sed -n 's/ loaded failed .*//p' "$FAKE/units" ;;
    list-units*) cat "$FAKE/units" ;;
    list-jobs*) cat "$FAKE/jobs" ;;
    "show -P Requires"*) echo ;;
    show*) cat "$FAKE/$last" 2> /dev/null ;;
    reset-failed*|start*|*restart*) echo "$*" >> "$FAKE/asked" ;;
    *is-enabled*) exit 1 ;;
esac
"""
PODMAN = (
    '#!/bin/sh\necho asked >> "$FAKE/podman"\n[ ! -e "$FAKE/broken" ] || { cat "$FAKE/broken"; exit 125; }\necho crun\n'
)
STAT = '#!/bin/sh\n[ "$1" = -f ] || exec /usr/bin/stat "$@"\ncat "$FAKE/room"\n'
DATE = '#!/bin/sh\n[ "$1" = +%s ] || exec /usr/bin/date "$@"\necho $(($(/usr/bin/date +%s) + $(cat "$FAKE/clock")))\n'
IP = '#!/bin/sh\necho "$*" >> "$FAKE/ip-asked"\ncat "$FAKE/addresses"\n'
UNITS = "multi-user.target loaded active x y\n"


def verdict(word: str, reason: str = "") -> str:
    return f'{{"verdict": "{word}", "version": "1", "boot": "b", "reason": "{reason}", "soak": 0, "checks": []}}\n'


def card(how: str) -> list[str]:
    name = Path("/proc/sys/kernel/hostname").read_text().strip()
    return [f"orlop: {name} runs Orlop 20261128.1; {how}", "orlop: addresses: 192.0.2.7 2001:db8::7"]


class Watched:
    def __init__(self, top: Path) -> None:
        self.top = top
        for folder in (
            "bin",
            "run",
            "var/lib/orlop",
            "store/overlay",
            "store/overlay-layers",
            "remembered",
            "net",
            "keys",
        ):
            (top / folder).mkdir(parents=True)
        for name, text in {"systemctl": SYSTEMCTL, "podman": PODMAN, "stat": STAT, "date": DATE, "ip": IP}.items():
            (top / "bin" / name).write_text(text)
            (top / "bin" / name).chmod(0o755)
        (top / "bin/mountpoint").write_text("#!/bin/sh\n[ $1 != -d ] || echo 8:1\n")
        (top / "bin/mountpoint").chmod(0o755)
        (top / "release").write_text("IMAGE_VERSION=20261128.1\n")
        device = top / "sys/dev/block"
        device.mkdir(parents=True)
        (device / "8:1").symlink_to("../../devices/sda1")
        self.errors = top / "sys/fs/ext4/sda1/errors_count"
        self.errors.parent.mkdir(parents=True)
        self.errors.write_text("0\n")
        self.put("units", UNITS)
        self.put("jobs", "")
        self.put("room", "1000000 4096 1000000\n")
        self.put("clock", "0\n")
        self.put("run/health.json", verdict("good"))
        self.put("addresses", "eth0 UP 192.0.2.7/24 metric 1024 2001:db8::7/64\npodman0 UP 10.88.0.1/16\n")
        self.put("net/fib_trie", "Local:\n |-- 192.0.2.7\n  /32 host LOCAL\n")

    def put(self, name: str, text: str) -> None:
        """In one step: the script may be reading it."""
        new = self.top / "new"
        new.write_text(text)
        new.rename(self.top / name)

    def said(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.top / "run/watch.json").read_text())
        except FileNotFoundError:
            return {"reason": None}
        return found

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < end, (self.said(), self.text("asked"), self.text("console"))
            time.sleep(0.05)

    def says(self, reason: str) -> list[tuple[str, str]]:
        """Wait until this is all that is wrong; what failed, as check and kind."""
        self.until(lambda: self.said()["reason"] == reason)
        return [(c["check"], c["kind"]) for c in self.said()["checks"] if not c["ok"]]

    def text(self, name: str) -> str:
        path = self.top / name
        return path.read_text() if path.exists() else ""

    def lines(self, name: str) -> list[str]:
        return self.text(name).splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@contextmanager
def watching(machine: Watched) -> Iterator[None]:
    top = machine.top
    env = {
        "PATH": f"{top / 'bin'}:{os.environ['PATH']}",
        "FAKE": str(top),
        "ORLOP_WATCH_EVERY": "0.1",
        "ORLOP_WATCH_SOON": "0.1",
        "ORLOP_NETWORK": str(top / "net"),
        "ORLOP_SSH_KEYS": str(top / "keys"),
        "ORLOP_RUN": str(top / "run"),
        "ORLOP_VAR": str(top / "var"),
        "ORLOP_SYS": str(top / "sys"),
        "ORLOP_STORE": str(top / "store"),
        "ORLOP_REMEMBERED": str(top / "remembered"),
        "ORLOP_SYNCED": str(top / "synced"),
        "ORLOP_CONSOLE": str(top / "console"),
        "ORLOP_RELEASE": str(top / "release"),
        "ORLOP_UNITS": str(top / "etc"),
        "ORLOP_GENERATED": str(top / "generated"),
        "ORLOP_QUADLETS": str(top / "quadlets"),
        "ORLOP_ENABLED": str(top / "preset"),
        "ORLOP_CHECKS": str(top / "checks"),
        "ORLOP_CHECKS_EVERY": "0.1",
        "ORLOP_SETTINGS": str(top / "health.conf"),
    }
    with (top / "err").open("w") as err:
        ran = subprocess.Popen(["sh", OS / "watch"], env=env, stdout=subprocess.DEVNULL, stderr=err)
        try:
            yield
        finally:
            ran.terminate()
            ran.wait(10)
    assert machine.text("err") == ""


def test_a_machine_that_is_well_says_so_and_asks_podman_nothing(machine: Watched) -> None:
    with watching(machine):
        assert machine.says("") == []
        assert machine.said()["verdict"] == "good"
        time.sleep(0.5)
    assert machine.lines("console") == card("this boot is good")
    assert machine.text("podman") == machine.text("asked") == ""
    assert len(machine.lines("ip-asked")) == 1


def test_the_console_says_who_it_is_again_when_that_has_changed(machine: Watched) -> None:
    (machine.top / "run/health.json").unlink()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", machine.top / "keys/host"], check=True
    )
    argv = ["ssh-keygen", "-l", "-f", str(machine.top / "keys/host.pub")]
    fingerprint = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[1]
    key = f"orlop: SSH host key: {fingerprint} (ED25519)"
    with watching(machine):
        machine.until(lambda: machine.said()["reason"] == "")
        time.sleep(0.5)
        assert machine.lines("console") == []
        machine.put("run/health.json", verdict("bad", r"no \"address\""))
        bad = [*card(r"this boot is bad: no \"address\""), key]
        machine.until(lambda: machine.lines("console") == bad)
        machine.put("addresses", "eth0 UP\n")
        time.sleep(0.5)
        assert machine.lines("console") == bad
        machine.put("net/fib_trie", "Local:\n")
        machine.until(lambda: machine.lines("console") == [bad[0], "orlop: addresses: none", key])


def test_errors_of_var_are_said_once_on_the_console(machine: Watched) -> None:
    with watching(machine):
        machine.says("")
        machine.errors.write_text("3\n")
        said = "/var has errors (3 noted by the kernel): a reboot checks and mends it"
        assert machine.says(said) == [("storage", "storage")]
        time.sleep(0.5)
        assert machine.lines("console")[-1] == f"orlop-watch: {said}"
        machine.errors.write_text("0\n")
        machine.says("")
        machine.until(lambda: machine.lines("console")[-1:] == ["orlop-watch: all is well again"])


def test_little_room_is_tried_before_it_is_called_full(machine: Watched) -> None:
    with watching(machine):
        machine.put("room", "10 4096 1000000\n")
        machine.says("")
        (machine.top / "bin/head").write_text("#!/bin/sh\necho 'x: No space left on device' >&2; exit 1\n")
        (machine.top / "bin/head").chmod(0o755)
        machine.until(lambda: "/var is full" in str(machine.said()["reason"]))
        [failed] = [c for c in machine.said()["checks"] if not c["ok"]]
        assert failed["kind"] == "var"
        machine.put("room", "1000000 4096 1000000\n")
        machine.says("")


def test_what_podman_remembers_of_a_full_disk_is_forgotten(machine: Watched) -> None:
    with watching(machine):
        machine.says("")
        (machine.top / "remembered/native-diff()-false").touch()
        machine.put("broken", "Error: kernel does not support overlay fs\n")
        reason = "podman does not answer: Error: kernel does not support overlay fs"
        assert machine.says(reason) == [("podman", "podman")]
        assert not list((machine.top / "remembered").iterdir())
        (machine.top / "broken").unlink()
        machine.says("")


def test_podman_is_asked_when_its_store_changed(machine: Watched) -> None:
    with watching(machine):
        machine.says("")
        machine.put("broken", "Error: loading layers.json: unexpected end of JSON input\n")
        time.sleep(0.3)
        assert machine.said()["reason"] == "", "nothing had changed"
        (machine.top / "store/overlay-layers/layers.json").write_text("[{")
        machine.until(lambda: "loading layers.json" in machine.said()["reason"])


def test_a_unit_of_the_image_that_failed_is_started_again_three_times(machine: Watched) -> None:
    machine.put("resolved.service", "FragmentPath=/usr/lib/systemd/system/resolved.service\n")
    machine.put("web.service", "FragmentPath=/etc/systemd/system/web.service\n")
    with watching(machine):
        machine.says("")
        machine.put("units", UNITS + "resolved.service loaded failed failed x\nweb.service loaded failed failed x\n")
        failed = machine.says("failed units: resolved.service; failed units: web.service")
        assert failed == [("units", "system"), ("units", "workload")]
        machine.until(lambda: len(machine.lines("asked")) >= 6)
        time.sleep(0.5)
        assert machine.lines("asked") == ["reset-failed resolved.service", "start --no-block resolved.service"] * 3
        machine.put("units", UNITS)
        machine.says("")


def test_a_bad_verdict_is_not_trouble_of_its_own(machine: Watched) -> None:
    machine.put("orlop-health.service", "FragmentPath=/usr/lib/systemd/system/orlop-health.service\n")
    machine.put("units", UNITS + "orlop-health.service loaded failed failed x\n")
    with watching(machine):
        machine.says("")
        time.sleep(0.3)
    assert machine.text("asked") == ""


def test_a_clock_that_is_set_after_it_was_confirmed_is_confirmed_again(machine: Watched) -> None:
    with watching(machine):
        machine.says("")
        machine.put("clock", "3600\n")  # nobody had confirmed it: whoever set it may have been right
        time.sleep(0.5)
        assert machine.said()["reason"] == ""
        machine.put("synced", "")
        time.sleep(0.5)
        (machine.top / "synced").unlink()
        machine.put("clock", "90000\n")
        machine.until(lambda: "after a server had confirmed it" in machine.said()["reason"])
        assert machine.lines("asked") == ["--no-block restart systemd-timesyncd.service"]
        machine.put("synced", "")
        machine.says("")


def test_what_the_user_asks_of_a_boot_is_asked_again_and_again(machine: Watched) -> None:
    checks = machine.top / "checks"
    checks.mkdir()
    machine.put("health.conf", "TIMEOUT=1\n")
    for name, does in {
        "10-web": '[ -e "$FAKE/up" ] || { echo "no answer"; exit 3; }',
        "20 slow": 'cat "$FAKE/line"',
    }.items():
        (checks / name).write_text(f"#!/bin/sh\n{does}\n")
        (checks / name).chmod(0o755)
    machine.put("up", "")
    os.mkfifo(machine.top / "line")
    with watching(machine):
        assert machine.says("20 slow did not answer within 1 s") == [("health.d/20_slow", "user")]
        (machine.top / "line").unlink()
        machine.put("line", "")
        machine.says("")
        (machine.top / "up").unlink()
        assert machine.says("10-web failed (3): no answer") == [("health.d/10-web", "user")]
        machine.until(lambda: machine.lines("console")[-1:] == ["orlop-watch: 10-web failed (3): no answer"])
    assert machine.text("asked") == "", "nothing is known to mend it"


def test_a_check_that_takes_long_keeps_nothing_else_from_being_noticed(machine: Watched) -> None:
    checks = machine.top / "checks"
    checks.mkdir()
    (checks / "10-slow").write_text("#!/bin/sh\nexec sleep 5\n")
    (checks / "10-slow").chmod(0o755)
    with watching(machine):
        machine.says("")
        machine.errors.write_text("1\n")
        machine.until(lambda: "/var has errors" in machine.said()["reason"])


def test_the_users_checks_wait_for_the_verdict(machine: Watched) -> None:
    (machine.top / "run/health.json").unlink()
    (machine.top / "checks").mkdir()
    (machine.top / "checks/10-asked").write_text('#!/bin/sh\necho ran >> "$FAKE/ran"\n')
    (machine.top / "checks/10-asked").chmod(0o755)
    with watching(machine):
        machine.says("")
        time.sleep(0.5)
        assert machine.text("ran") == ""
        machine.put("run/health.json", "{}")
        machine.until(lambda: len(machine.lines("ran")) > 1)


def test_a_boot_that_does_not_end_says_what_it_waits_for(machine: Watched) -> None:
    (machine.top / "run/health.json").unlink()
    machine.put(
        "jobs", "1 orlop-health.service start waiting\n2 slow.service start running\n3 a.target start waiting\n"
    )
    with watching(machine):
        machine.until(lambda: "slow.service" in str(machine.said()["reason"]))
        assert "a.target" not in machine.said()["reason"]
        machine.put("run/health.json", verdict("good"))
        machine.says("")
