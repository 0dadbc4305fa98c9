"""What is right by itself and would not go well on this system: stops that take too long, networks left alone."""

from __future__ import annotations

import pytest

from tests.unit.provision.texts import FCOS, ORLOP, findings

LONG = "add_to_shrink" * 20  # so that its contents are compressed


def quadlet(name: str, *lines: str, more: str = "") -> list[str]:
    text = "\\n".join(lines)
    file = f'{{path: /etc/containers/systemd/{name}, contents: {{inline: "{text}\\n"}}}}'
    return [line.split(" ", 2)[2] for line in findings(f"storage: {{files: [{file}]}}\n{more}", FCOS)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("[Container]", "Image=x", "StopTimeout=120"), ""),
        (("[Container]", "Image=x", "StopTimeout=890"), ""),
        (("[Container]", "Image=x", "StopTimeout=891"), "may take 901 s to stop; a machine that goes down waits 900 s"),
        (("[Container]", f"Image={LONG}", "StopTimeout=7200"), "may take 7210 s to stop"),
        (("[Container]", "StopTimeout=120", "[Service]", "TimeoutStopSec=60"), "its unit is killed after 60 s"),
        (("[Container]", "StopTimeout=120", "[Service]", "TimeoutStopSec=150"), ""),
        (("[Container]", "[Service]", "TimeoutStopSec=infinity"), "may take for ever to stop"),
    ],
)
def test_how_long_a_container_may_stop(lines: tuple[str, ...], said: str) -> None:
    found = quadlet("db.container", *lines)
    assert [said in line for line in found] == ([True] if said else []), found


def test_a_unit_that_never_stops_is_named() -> None:
    body = 'systemd: {units: [{name: a.service, contents: "[Service]\\nTimeoutStopSec=1h\\n"}]}'
    [said] = findings(body, ORLOP)
    assert "a.service may take 3600 s to stop" in said and said.startswith("warning")
    body = (
        'systemd: {units: [{name: a.service, dropins: [{name: x.conf, contents: "[Service]\\nTimeoutSec=infinity"}]}]}'
    )
    assert "a.service may take for ever to stop" in findings(body, ORLOP)[0]


def test_a_network_that_asks_for_addresses_needs_who_asks() -> None:
    lan = ("[Network]", "Driver=macvlan", "IPAMDriver=dhcp")
    [said] = quadlet("lan.network", *lan)
    assert "leaves to netavark-dhcp-proxy.socket, and that is not enabled" in said
    assert (
        quadlet("lan.network", *lan, more="systemd: {units: [{name: netavark-dhcp-proxy.socket, enabled: true}]}") == []
    )
    assert quadlet("lan.network", "[Network]", "Driver=macvlan", "Subnet=10.0.0.0/24") == []
