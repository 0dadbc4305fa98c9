"""What other systems' files, units and habits become: honoured where exact, else said, and never the opposite."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orlop.model.update.reboot import Immediate, Off, Window
from orlop.node.update.settings import parse
from orlop.provision.foreign import table
from orlop.provision.foreign.page import markdown
from orlop.provision.foreign.table import TABLE, Foreign
from orlop.provision.translate import translate
from tests.unit.model.settings.borders import contents
from tests.unit.provision.texts import FCOS, FLATCAR, run

REPOSITORY = Path(__file__).parents[3]
UPDATE = "/etc/orlop/update.toml"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def files(config: dict[str, Any], variant: str = "fcos") -> tuple[dict[str, Any], list[str]]:
    """The files of the translated config by path, with their text; and what was warned about."""
    text = json.dumps({"variant": variant, "version": {"fcos": "1.4.0"}.get(variant, "1.0.0"), **config})
    result = translate(text.encode())
    assert result.ignition is not None, result.report.entries
    made = checked_files(result.ignition)
    return made, [f"{e.message} | {e.hint}" for e in result.report.sorted()]


def checked_files(ignition: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for file in json.loads(ignition).get("storage", {}).get("files", []):
        parts = [file.get("contents", {}), *file.get("append", [])]
        out[file["path"]] = "".join(_text(part) for part in parts)
    return out


def _text(resource: dict[str, str]) -> str:
    return contents(resource).decode() if resource.get("source", "").startswith("data:") else resource.get("source", "")


def file(path: str, text: str) -> dict[str, Any]:
    return {"storage": {"files": [{"path": path, "contents": {"inline": text}}]}}


# updates


def strategy(text: str | None) -> object:
    """What the machine's own reader makes of it."""
    return "nothing said" if text is None else parse(text.encode()).engine.strategy


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ("REBOOT_STRATEGY=off", Off()),
        ("REBOOT_STRATEGY='off'  # never", Off()),
        ("SERVER=disabled", Off()),
        ("GROUP=stable\nSERVER=disabled\nREBOOT_STRATEGY=reboot", Off()),
        ("REBOOT_STRATEGY=reboot", Immediate()),
        ("REBOOT_STRATEGY=etcd-lock", Off()),
        ("REBOOT_STRATEGY=best-effort", Off()),
        ("REBOOT_STRATEGY=nonsense", Off()),
        ("GROUP=stable", "nothing said"),
        ("", "nothing said"),
        ("REBOOT_STRATEGY=reboot\nLOCKSMITHD_REBOOT_WINDOW_START=14:00", Off()),
        ("LOCKSMITHD_REBOOT_WINDOW_START=whenever\nLOCKSMITHD_REBOOT_WINDOW_LENGTH=1h", Off()),
        ("LOCKSMITHD_REBOOT_WINDOW_START=04:00\nLOCKSMITHD_REBOOT_WINDOW_LENGTH=0s", Off()),
        ("LOCKSMITHD_REBOOT_WINDOW_START=04:00\nLOCKSMITHD_REBOOT_WINDOW_LENGTH=9000h", Off()),
    ],
)
def test_update_conf(conf: str, expected: object) -> None:
    for path in ("/etc/flatcar/update.conf", "/etc/coreos/update.conf"):
        made, said = files(file(path, conf + "\n"), "flatcar")
        assert strategy(made.get(UPDATE)) == expected
        exact = expected != Off() or re.search("=off|='off'|disabled", conf)
        assert bool(said) != bool(exact), said


def test_the_window_of_locksmith() -> None:
    conf = 'LOCKSMITHD_REBOOT_WINDOW_START="Thu 4:00"\nLOCKSMITHD_REBOOT_WINDOW_LENGTH=1h30m\nREBOOT_STRATEGY=reboot\n'
    config = file("/etc/flatcar/update.conf", conf)
    made, said = files(config, "flatcar")
    assert tomllib.loads(made[UPDATE]) == {
        "format": 1, "strategy": "window", "window": {"days": ["thu"], "start": "04:00", "minutes": 90},
    }  # fmt: skip
    assert isinstance(strategy(made[UPDATE]), Window)
    assert said == []
    config["storage"]["links"] = [{"path": "/etc/localtime", "target": "../usr/share/zoneinfo/Asia/Tokyo"}]
    assert tomllib.loads(files(config, "flatcar")[0][UPDATE])["window"]["timezone"] == "Asia/Tokyo"
    config["storage"]["links"] = [{"path": "/etc/localtime", "target": "../usr/share/zoneinfo/Mars/A"}]
    assert strategy(files(config, "flatcar")[0][UPDATE]) == Off()
    dropin = {"name": "locksmithd.service", "dropins": [{"name": "a.conf", "contents":
        '[Service]\nEnvironment="REBOOT_STRATEGY=reboot" LOCKSMITHD_REBOOT_WINDOW_START=04:00\n'
        "Environment=LOCKSMITHD_REBOOT_WINDOW_LENGTH=90m\n"}]}  # fmt: skip
    window = tomllib.loads(files({"systemd": {"units": [dropin]}}, "flatcar")[0][UPDATE])["window"]
    assert window == {"start": "04:00", "minutes": 90}


@pytest.mark.parametrize("unit", table.UPDATERS.units)
@pytest.mark.parametrize("how", [{"mask": True}, {"enabled": False}])
def test_a_service_that_updates_and_is_stopped(unit: str, how: dict[str, bool]) -> None:
    made, said = files({"systemd": {"units": [{"name": unit, **how}]}})
    assert (strategy(made[UPDATE]), said) == (Off(), [])
    made, said = files({"systemd": {"units": [{"name": unit, "enabled": True}]}})
    assert UPDATE not in made
    assert "update.urls" in said[0]


@pytest.mark.parametrize(
    ("toml", "expected", "warnings"),
    [
        ("[updates]\nenabled = false\n", {"strategy": "off"}, 0),
        ('[updates]\nstrategy = "immediate"\n', {"strategy": "immediate"}, 0),
        ('[updates]\nstrategy = "immediate"\nenabled = false\n', {"strategy": "off"}, 0),
        ('[updates]\nstrategy = "fleet_lock"\n[updates.fleet_lock]\nbase_url = "http://l"\n[identity]\ngroup = "web"\n',
         {"strategy": "immediate", "lock": {"url": "http://l", "group": "web"}}, 0),
        ('[updates]\nstrategy = "fleet_lock"\n[updates.fleet_lock]\nbase_url = "l"\n', {"strategy": "off"}, 1),
        ('[updates]\nstrategy = "fleet_lock"\n', {"strategy": "off"}, 1),
        ('[updates]\nstrategy = "periodic"\n', {"strategy": "off"}, 1),
        ('[updates]\nstrategy = "marker_file"\n', {"strategy": "off"}, 1),
        ('[updates]\nstrategy = "periodic"\nperiodic.time_zone = "Europe/Berlin"\n[[updates.periodic.window]]\n'
         'days = ["Sat", "Sunday"]\nstart_time = "23:30"\nlength_minutes = 60\n',
         {"strategy": "window",
          "window": {"days": ["sat", "sun"], "start": "23:30", "minutes": 60, "timezone": "Europe/Berlin"}}, 0),
        ('[updates]\nstrategy = "periodic"\n[[updates.periodic.window]]\ndays = ["Sat"]\nstart_time = "23:30"\n'
         'length_minutes = 60\n[[updates.periodic.window]]\ndays = ["Mon"]\nstart_time = "01:00"\nlength_minutes = 5\n',
         {"strategy": "window", "window": {"days": ["sat"], "start": "23:30", "minutes": 60}}, 1),
        ('[updates]\nstrategy = "periodic"\n[[updates.periodic.window]]\ndays = ["Sat"]\nstart_time = "25:30"\n'
         "length_minutes = 60\n", {"strategy": "off"}, 1),
        ('[updates]\nstrategy = "periodic"\n[[updates.periodic.window]]\ndays = "Sat"\nstart_time = 3\n'
         "length_minutes = true\n", {"strategy": "off"}, 1),
        ("not toml", {"strategy": "off"}, 1),
        ("[identity]\nrollout_wariness = 0.5\n", None, 1),
        ('[cincinnati]\nbase_url = "http://c"\n', None, 1),
        ("updates = 5\n", None, 0),
    ],
)  # fmt: skip
def test_zincati(toml: str, expected: dict[str, Any] | None, warnings: int) -> None:
    made, said = files(file("/etc/zincati/config.d/50-mine.toml", toml))
    found = made.get(UPDATE)
    assert (found and tomllib.loads(found)) == (expected and {"format": 1, **expected})
    assert len(said) == warnings
    if found is not None:
        parse(found.encode())


def test_zincati_reads_its_files_in_order() -> None:
    parts = {"10-a": '[updates]\nstrategy = "immediate"\n', "90-b": "[updates]\nenabled = false\n"}
    listed = [{"path": f"/etc/zincati/config.d/{n}.toml", "contents": {"inline": t}} for n, t in parts.items()]
    for order in (listed, listed[::-1]):
        assert strategy(files({"storage": {"files": order}})[0][UPDATE]) == Off()


def test_what_is_elsewhere_is_off() -> None:
    for path in ("/etc/flatcar/update.conf", "/etc/zincati/config.d/a.toml"):
        made, said = files({"storage": {"files": [{"path": path, "contents": {"source": "http://a"}}]}})
        assert strategy(made[UPDATE]) == Off()
        assert "not seen here" in said[0]


def test_two_that_differ_are_off() -> None:
    config = file("/etc/flatcar/update.conf", "REBOOT_STRATEGY=reboot\n")
    zincati = '[updates]\nstrategy = "fleet_lock"\n[updates.fleet_lock]\nbase_url = "http://l"\n'
    config["storage"]["files"] += file("/etc/zincati/config.d/a.toml", zincati)["storage"]["files"]
    made, said = files(config)
    assert strategy(made[UPDATE]) == Off()
    assert "said in two ways that differ" in said[0]


def test_our_own_settings_count() -> None:
    config = {"update": {"strategy": "immediate"}, **file("/etc/flatcar/update.conf", "REBOOT_STRATEGY=off\n")}
    made, said = files(config, "orlop")
    assert strategy(made[UPDATE]) == Immediate()
    assert "this is not read: line 1 writes /etc/orlop/update.toml, which counts" in said[0]


_OFF = ["REBOOT_STRATEGY=off", "SERVER=disabled"]
_REST = ["GROUP=beta", "REBOOT_STRATEGY=reboot", "LOCKSMITHD_REBOOT_WINDOW_START=Mon 1:00", "# x", "A=b", "'", "=",
         "LOCKSMITHD_REBOOT_WINDOW_LENGTH=1h", "LOCKSMITHD_REBOOT_WINDOW_LENGTH=x",
         "REBOOT_STRATEGY=etcd-lock"]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(_REST), max_size=5), st.sampled_from(_OFF), st.booleans())
@example([], "SERVER=disabled", True)
def test_off_never_becomes_anything_else(rest: list[str], off: str, zincati: bool) -> None:
    """Whatever else is written before it, and by whom."""
    config = file("/etc/flatcar/update.conf", "\n".join([*rest, off]))
    if zincati:
        more = '[updates]\nstrategy = "immediate"\n'
        config["storage"]["files"] += file("/etc/zincati/config.d/a.toml", more)["storage"]["files"]
    assert strategy(files(config)[0][UPDATE]) == Off()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*_REST, *_OFF]), max_size=6))
def test_a_machine_takes_whatever_comes_out_and_reboots_at_once_only_when_told_so(lines: list[str]) -> None:
    made, _ = files(file("/etc/flatcar/update.conf", "\n".join(lines)))
    if UPDATE in made:
        found = strategy(made[UPDATE])
        assert found != Immediate() or "REBOOT_STRATEGY=reboot" in lines


# networks


KEYFILE = """
[connection]
id=enp1s0
type=ethernet
interface-name=enp1s0
[ipv4]
method=manual
addresses=192.0.2.50/24
gateway=192.0.2.1
dns=192.0.2.1;192.0.2.2;
dns-search=example.org
"""
NETWORK = "/etc/systemd/network/20-enp1s0.network"


def network(keyfile: str) -> tuple[dict[str, list[str]] | None, list[str]]:
    """The lines of each section, and the warnings."""
    made, said = files(file("/etc/NetworkManager/system-connections/enp1s0.nmconnection", keyfile))
    if NETWORK not in made:
        return None, said
    sections = re.split(r"^\[(\w+)\]$", made[NETWORK], flags=re.MULTILINE)
    return {name: text.split("\n")[1:-1] for name, text in zip(sections[1::2], sections[2::2], strict=True)}, said


def test_a_static_address() -> None:
    found, said = network(KEYFILE)
    assert said == []
    assert found is not None
    assert found["Match"][0] == "Name=enp1s0"
    assert {"DHCP=no", "Address=192.0.2.50/24", "Gateway=192.0.2.1", "DNS=192.0.2.1", "DNS=192.0.2.2",
            "Domains=example.org"} <= set(found["Network"])  # fmt: skip
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(files(file("/etc/NetworkManager/system-connections/enp1s0.nmconnection", KEYFILE))[0][NETWORK])
    assert "DHCPv4" not in parser


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("addresses=192.0.2.50/24\ngateway=192.0.2.1", "address1=192.0.2.50/24,192.0.2.1\naddress2=192.0.2.51/24",
         {"Address=192.0.2.51/24", "Gateway=192.0.2.1"}),
        ("[ipv4]\nmethod=manual\naddresses=192.0.2.50/24\ngateway=192.0.2.1", "[ipv4]\nmethod=auto", {"DHCP=ipv4"}),
        ("[ipv4]", "[ipv6]\nmethod=disabled\n[ipv4]", {"LinkLocalAddressing=no", "IPv6AcceptRA=no"}),
        ("[ipv4]", "[ipv6]\nmethod=manual\naddress1=2001:db8::5/64,2001:db8::1\n[ipv4]",
         {"Address=2001:db8::5/64", "Gateway=2001:db8::1", "IPv6AcceptRA=no"}),
        ("interface-name=enp1s0", "autoconnect=true\n[ethernet]\nmac-address=52:54:00:12:34:56\nmtu=1400", {"DHCP=no"}),
    ],
)  # fmt: skip
def test_exact_keyfiles(old: str, new: str, lines: set[str]) -> None:
    found, said = network(KEYFILE.replace(old, new))
    assert (said, found is not None and lines <= set(found["Network"])) == ([], True)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("type=ethernet", "type=bond", "of the type bond"),
        ("[ipv4]", "[bond]\nmode=1\n[ipv4]", "the section [bond]"),
        ("gateway=192.0.2.1", "route1=10.0.0.0/8,192.0.2.9", "route1 in [ipv4]"),
        ("method=manual", "method=shared", "the method shared"),
        ("addresses=192.0.2.50/24\n", "", "has no address"),
        ("192.0.2.50/24", "192.0.2.50", "is not an IPv4 address with its prefix"),
        ("192.0.2.50/24", "2001:db8::1/64", "is not an IPv4 address"),
        ("dns=192.0.2.1", "dns=resolver", "'resolver' is not an address"),
        ("interface-name=enp1s0", "interface-name=en*", "'en*' is not a plain name"),
        ("interface-name=enp1s0", "", "is for one interface, and it names none"),
        ("id=enp1s0", "autoconnect=false", "not made by itself"),
        ("dns-search=example.org", "dns-search=a b\\n", "dns-search"),
        ("[ipv4]", "method", "is not NAME=VALUE"),
    ],
)
def test_inexact_keyfiles_stay_and_are_said(old: str, new: str, named: str) -> None:
    found, (said,) = network(KEYFILE.replace(old, new))
    assert found is None
    assert named in said
    assert "write a file /etc/systemd/network/NAME.network" in said


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("[]=\n;,/.:#ipv46dns12 x"), max_size=60), st.integers(0, len(KEYFILE)))
def test_no_keyfile_makes_a_line_that_was_not_meant(noise: str, at: int) -> None:
    found, _ = network(KEYFILE[:at] + noise + KEYFILE[at:])
    for name, lines in (found or {}).items():
        assert name in ("Match", "Link", "Network", "DHCPv4")
        assert all(re.fullmatch(r"[A-Za-z0-9]+=[^\n\[\]]*|", line) for line in lines)


# clock


@pytest.mark.parametrize("path", ["/etc/chrony.conf", "/etc/chrony/sources.d/a.sources", "/etc/chrony.d/a.conf"])
def test_chrony(path: str) -> None:
    text = "# mine\npool 2.example iburst maxsources 4\nserver time.example iburst\nmakestep 1 3\ndriftfile /a\n"
    made, said = files(file(path, text))
    assert said == []
    assert made["/etc/systemd/timesyncd.conf.d/20-chrony.conf"].endswith("[Time]\nNTP=2.example time.example\n")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("server time.example nts", "nts of a server"),
        ("server time.example key 5", "key of a server"),
        ("pool a port 99", "port of a pool"),
        ("refclock PHC /dev/ptp0", "refclock"),
        ("allow 10.0.0.0/8", "allow"),
        ("server a;b", "names no server"),
        ("server", "names no server"),
    ],
)
def test_chrony_says_what_timesyncd_has_not(line: str, named: str) -> None:
    made, (said,) = files(file("/etc/chrony.conf", f"server a iburst\n{line}\n"))
    assert set(made) == {"/etc/chrony.conf"}
    assert named in said
    assert "NTP=" in said


def test_chrony_without_a_server_says_nothing() -> None:
    assert files(file("/etc/chrony.conf", "makestep 1 3\n")) == ({"/etc/chrony.conf": "makestep 1 3\n"}, [])


# certificates


@pytest.mark.parametrize("folder", ["/etc/pki/ca-trust/source/anchors", "/etc/ssl/certs"])
def test_certificates_are_added_to_the_bundle(folder: str) -> None:
    config = file(f"{folder}/corp.pem", PEM.rstrip())
    config["storage"]["files"] += [{"path": f"{folder}/far.crt", "contents": {"source": "http://ca"}}]
    made, said = files(config)
    assert said == []
    assert made["/etc/ssl/certs/ca-certificates.crt"] == f"\n{PEM.rstrip()}\nhttp://ca\n"
    text = json.dumps({"variant": "fcos", "version": "1.4.0", **config})
    bundle = json.loads(translate(text.encode()).ignition or "")["storage"]["files"][-1]
    assert "contents" not in bundle
    assert "overwrite" not in bundle  # the image's own stay


def test_a_bundle_of_the_config_itself_is_added_to() -> None:
    config = file("/etc/ssl/certs/corp.pem", PEM)
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    config["storage"]["files"].append({"path": bundle, "append": [{"inline": "mine\n"}]})
    assert files(config)[0][bundle] == f"mine\n\n{PEM}\n"


@pytest.mark.parametrize("text", ["x\n", "-----BEGIN TRUSTED CERTIFICATE-----\n", PEM + PEM[:40]])
def test_what_is_no_certificate_is_said(text: str) -> None:
    made, (said,) = files(file("/etc/pki/ca-trust/source/anchors/corp.pem", text))
    assert "/etc/ssl/certs/ca-certificates.crt" not in made
    assert "holds no certificate in PEM" in said


def test_translating_a_translated_config_honours_nothing_twice() -> None:
    config = file("/etc/flatcar/update.conf", "REBOOT_STRATEGY=off\n")
    for more in (
        file("/etc/NetworkManager/system-connections/enp1s0.nmconnection", KEYFILE),
        file("/etc/chrony.conf", "server a\n"),
        file("/etc/ssl/certs/corp.pem", PEM),
    ):
        config["storage"]["files"] += more["storage"]["files"]
    first = translate(json.dumps({"variant": "fcos", "version": "1.4.0", **config}).encode())
    assert first.ignition is not None
    again = translate(first.ignition.encode())
    assert (again.ignition, again.report.entries) == (first.ignition, [])


# warnings


def warned(body: str, head: str = FCOS) -> set[str]:
    """Names of the entries of the table that were warned about."""
    by_hint = {(e.here, e.write): e.name for e in TABLE}
    entries = run(body, head).report.entries
    return {name for e in entries for (here, write), name in by_hint.items() if here in e.message and write == e.hint}


UNIT = "systemd: {{units: [{{name: a.service, enabled: true, contents: '{}'}}]}}"
QUADLET = "storage: {{files: [{{path: /etc/containers/systemd/a.container, contents: {{inline: '{}'}}}}]}}"


def service(line: str) -> str:
    text = line.replace("'", "''").replace("\n", "\n\n      ")
    return f"systemd: {{units: [{{name: a.service, contents: '[Unit]\n\n      {text}\n\n      '}}]}}"


@pytest.mark.parametrize(
    ("body", "entry"),
    [
        ("passwd: {users: [{name: core, ssh_authorized_keys: [k]}]}", table.SSH_KEYS),
        ("passwd: {users: [{name: core, password_hash: x}]}", table.PASSWORD),
        ("passwd: {users: [{name: core, groups: [docker]}]}", table.DOCKER_GROUP),
        ("passwd: {users: [{name: core, groups: [wheel]}]}", table.ADMIN_GROUPS),
        ("systemd: {units: [{name: sshd.socket, enabled: true}]}", table.SSHD),
        ("systemd: {units: [{name: getty@tty1.service, dropins: [{name: a.conf, contents: ''}]}]}", table.GETTY),
        (service("Requires=docker.service"), table.DOCKER),
        (service("Wants=network-online.target docker.service"), table.DOCKER),
        (service("ExecStartPre=-/usr/bin/docker rm a"), table.DOCKER),
        (service("ExecStart=@!/usr/bin/sudo a"), table.SUDO),
        (service("ExecStart=rpm-ostree install vim"), table.PACKAGES),
        (service("ConditionFirstBoot=yes"), table.FIRST_BOOT),
        (service("WantedBy=remote-fs.target"), table.REMOTE_FS),
        (service("ExecStart=/usr/bin/podman run -v /home/core/db:/db \\\n --name x image"), table.DATA),
        (service("ExecStart=/usr/bin/podman run --volume=/srv/db:/db image"), table.DATA),
        (QUADLET.format("[Container]\n\nVolume=/opt/db:/db"), table.DATA),
        (QUADLET.format("[Container]\n\nAutoUpdate=registry"), table.AUTO_UPDATE),
        ("systemd: {units: [{name: podman-auto-update.timer, enabled: true}]}", table.AUTO_UPDATE),
        ("storage: {directories: [{path: /srv/db}]}", table.DATA),
        ("storage: {directories: [{path: /data}]}", table.DATA),
        ("storage: {files: [{path: /usr/local/bin/a}]}", table.READ_ONLY),
        ("storage: {links: [{path: /bin/a, target: b}]}", table.READ_ONLY),
        ("storage: {files: [{path: /etc/sudoers.d/core}]}", table.SUDO),
        ("storage: {files: [{path: /var/lib/systemd/linger/core}]}", table.ROOTLESS),
        ("storage: {files: [{path: /home/a/.config/containers/systemd/b.container}]}", table.ROOTLESS),
        ("storage: {links: [{path: /etc/extensions/k3s.raw, target: /opt/extensions/k3s.raw}]}", table.SYSEXT),
        ("storage: {files: [{path: /etc/NetworkManager/conf.d/a.conf}]}", table.NETWORK),
        ("storage: {files: [{path: /etc/cron.d/a}]}", table.CRON),
        ("storage: {files: [{path: /etc/systemd/zram-generator.conf}]}", table.ZRAM),
        ("storage: {luks: [{name: a, device: /dev/b, clevis: {tpm2: true}}]}", table.CLEVIS),
        ("kernel_arguments: {should_exist: [a]}", table.KERNEL_ARGUMENTS),
        ("storage: {links: [{path: /etc/systemd/system/multi-user.target.wants/docker.service, target: "
         "/usr/lib/systemd/system/docker.service}]}", table.DOCKER),
    ],
)  # fmt: skip
def test_what_means_nothing_here_is_said(body: str, entry: Foreign) -> None:
    assert warned(body) == {entry.name}


@pytest.mark.parametrize(
    "body",
    [
        "systemd: {units: [{name: ssh.socket, enabled: true}]}\n"
        "passwd: {users: [{name: core, ssh_authorized_keys: [k]}]}",
        "systemd: {units: [{name: docker.service, mask: true}, {name: getty@tty1.service, enabled: false}]}",
        "systemd: {units: [{name: docker.service, contents: '[Service]'}, {name: a.service, contents: "
        "'[Unit]\n\n  Requires=docker.service'}]}",
        "systemd: {units: [{name: remote-fs.target, enabled: true}, {name: a.service, contents: '[Install]\n\n  "
        "WantedBy=remote-fs.target'}]}",
        service("WantedBy=remote-fs.target multi-user.target"),
        service("After=docker.service"),
        service("ConditionFirstBoot=no"),
        service("ExecStart=/usr/bin/podman run -v /var/lib/db:/db -v data:/x -v /etc/a:/a:ro image"),
        "storage: {directories: [{path: /opt/bin}], files: [{path: /opt/bin/tool}]}",
        "storage: {directories: [{path: /srv/db/a}], filesystems: [{device: /dev/b, format: ext4, path: /srv/db}]}",
        "storage: {directories: [{path: /var/lib/a}, {path: /etc/a}]}",
        QUADLET.format("[Container]\n\nVolume=/opt/app.conf:/app.conf").replace(
            "files: [", "files: [{path: /opt/app.conf}, "
        ),
        "passwd: {users: [{name: core, password_hash: x}]}\nstorage: {files: [{path: /etc/ssh/sshd_config.d/a.conf, "
        "contents: {inline: 'PasswordAuthentication yes'}}]}",
        "storage: {files: [{path: /opt/bin/docker}]}\n" + service("ExecStart=/opt/bin/docker ps"),
    ],
)
def test_what_is_as_it_should_be_is_not(body: str) -> None:
    assert warned(body) == set()


def test_every_variant_is_told() -> None:
    body = "storage: {files: [{path: /etc/sudoers.d/core}]}"
    for head in (FCOS, FLATCAR, "variant: orlop\nversion: 1.0.0\n", "variant: fcos\nversion: 1.7.0\n"):
        assert warned(body, head) == {table.SUDO.name}


# the table


def test_the_table_is_sound() -> None:
    assert len({entry.name for entry in TABLE}) == len(TABLE)
    programs = [name for entry in TABLE for name in entry.programs]
    assert len(programs) == len(set(programs))
    for entry in TABLE:
        assert entry.files or entry.units or entry.programs or entry.at
        assert not entry.here.endswith(".")
        assert not entry.write.endswith(".")


@pytest.mark.parametrize("entry", TABLE, ids=lambda e: e.name)
def test_each_pattern_leads_to_its_entry(entry: Foreign) -> None:
    """None is hidden by an entry that stands before it."""
    for pattern in entry.files:
        assert table.of_file(pattern.replace("*", "x")) is entry, pattern
    for pattern in entry.units:
        assert table.of_unit(pattern.replace("*", "x")) is entry, pattern
    for program in entry.programs:
        assert table.of_program(program) is entry


def test_what_is_our_own_is_not_in_it() -> None:
    for path in ("/etc/orlop/update.toml", "/etc/hostname", "/etc/containers/systemd/a.container", "/etc/nftables.conf",
                 "/etc/systemd/system/a.service", "/var/lib/a", "/etc/ssh/sshd_config.d/a.conf"):  # fmt: skip
        assert table.of_file(path) is None
    for unit in ("ssh.socket", "podman.socket", "nftables.service", "a.service", "systemd-networkd.service"):
        assert table.of_unit(unit) is None


def test_the_page_is_current() -> None:
    written = (REPOSITORY / "docs" / "reference" / "config-foreign.md").read_text()
    assert written == markdown(), "orlop config reference --foreign > docs/reference/config-foreign.md"
