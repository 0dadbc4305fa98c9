from __future__ import annotations

import base64

import pytest

from orlop.errors import BadInput
from orlop.lab.nodeconfig import MAX_BYTES, NodeConfig


def test_files_folders_and_links_are_tmpfiles_lines() -> None:
    made = NodeConfig().folder("/a", 0o700).file("/a/b", "hi\n", 0o600).file("/a/c", b"").link("/a/d", "/a/b")
    assert made.tmpfiles() == (
        "d /a 0700 root root -\nf+~ /a/b 0600 root root - aGkK\nf+ /a/c 0644 root root -\nL+ /a/d - - - - /a/b\n"
    )


def test_specifiers_quotes_and_spaces_are_escaped() -> None:
    text = NodeConfig().file('/a %m "b" \\c', "x").link("/l", '/50%-"x y').tmpfiles()
    assert '"/a %%m \\"b\\" \\\\c"' in text
    assert 'L+ /l - - - - /50%%-"x y\n' in text


def test_the_later_of_two_entries_for_a_path_wins() -> None:
    both = NodeConfig().file("/a", "1") + NodeConfig().file("/a", "2")
    assert both.tmpfiles() == NodeConfig().file("/a", "2").tmpfiles()


def test_ssh_access_is_a_key_that_only_root_reads_and_an_enabled_socket() -> None:
    text = NodeConfig().ssh_access("ssh-ed25519 AAAA x").tmpfiles()
    assert "d /root/.ssh 0700 root root -" in text
    assert "/root/.ssh/authorized_keys 0600 root root" in text
    wants = "/etc/systemd/system/sockets.target.wants"
    assert f"L+ {wants}/ssh.socket - - - - /usr/lib/systemd/system/ssh.socket" in text


def test_ready_made_parts_put_their_files_where_the_system_reads_them() -> None:
    made = (
        NodeConfig()
        .docker_api()
        .registry("10.0.2.2:5000", insecure=True)
        .quadlet("web.container", "[Container]\n")
        .unit("a.service", "[Service]\n", wanted_by="multi-user.target")
        .private_address("52:54:00:00:00:01", "10.77.0.11/24")
        .names("n1", {"n1": "10.77.0.11"})
    )
    paths = [line.split()[1] for line in made.tmpfiles().splitlines()]
    assert paths == [
        "/etc/containers/registries.conf.d/50-10.0.2.2:5000.conf",
        "/etc/containers/systemd/web.container",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/systemd/network/10-orlop-lab.network",
        "/etc/systemd/system/a.service",
        "/etc/systemd/system/multi-user.target.wants/a.service",
        "/etc/systemd/system/sockets.target.wants/podman.socket",
    ]


@pytest.mark.parametrize("path", ["", "/", "a", "/a/", "/a//b", "/a/../b", "/.", "/a\nb", "/a\x00"])
def test_a_path_that_cannot_be_said_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="it must be absolute and plain"):
        NodeConfig().file(path, "x").tmpfiles()


@pytest.mark.parametrize("target", ["", "-", " /a", "/a\n"])
def test_a_target_that_cannot_be_said_is_refused(target: str) -> None:
    with pytest.raises(BadInput, match="not a valid link target"):
        NodeConfig().link("/a", target).tmpfiles()


@pytest.mark.parametrize("name", ["", "web", ".service", "a b.service", "../x.service", "a/b.service"])
def test_a_name_that_is_no_unit_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="is not a valid unit name"):
        NodeConfig().unit(name, "")


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="is not a valid file mode"):
        NodeConfig().file("/a", "", 0o10000).tmpfiles()


def test_more_than_a_credential_holds_is_refused() -> None:
    with pytest.raises(BadInput, match="a credential can hold"):
        NodeConfig().file("/a", bytes(MAX_BYTES)).tmpfiles()


@pytest.mark.parametrize(("address", "link_local"), [("10.77.0.11/24", "no"), ("fd77::11/64", "ipv6")])
def test_the_private_network_is_as_anybody_would_write_it(address: str, link_local: str) -> None:
    (line,) = NodeConfig().private_address("52:54:00:00:00:01", address).tmpfiles().splitlines()
    text = base64.b64decode(line.split()[-1]).decode()
    assert f"Address={address}\nLinkLocalAddressing={link_local}\n" in text
    assert "Required" not in text and "Carrier" not in text, "what the image does by default is what is tested"
