from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.lab.delivery import drive_files, ovf_files
from orlop.lab.source import LIMITS, Given, LabSource, Way, parse_way
from orlop.machines.qemu import command
from tests.unit.lab.test_vms import machine
from tests.unit.machines.tooling import TOOLS


def told(way: Way | None, state: Path = Path("/s"), **more: object) -> str:
    source = LabSource(way, **more) if way else None  # type: ignore[arg-type]
    return " ".join(command(machine(state=state, source=source), TOOLS))


def cards(way: Way) -> list[str]:
    return [nic.name for nic in machine(source=LabSource(way)).nics]


def test_without_a_source_there_is_none() -> None:
    text = told(None)
    assert "com.coreos" not in text
    assert "smbios" not in text
    assert "opt/io.systemd.credentials/tmpfiles.extra" in text


def test_fw_cfg() -> None:
    text = told(Way.FW_CFG)
    assert "-fw_cfg name=opt/com.coreos/config,file=/s/lab/a/n1/config.ign" in text
    assert "smbios" not in text


def test_a_url_is_the_labs_own_or_another() -> None:
    text = told(Way.URL)
    argument = "type=11,value=io.systemd.stub.kernel-cmdline-extra=ignition.config.url="
    assert f"{argument}http://10.0.2.100/config.ign" in text
    assert "guestfwd=tcp:10.0.2.100:80-cmd:env PYTHONPATH=/r python3" in text
    assert "serve web n1 /s/lab/a/n1/config.ign" in text
    other = told(Way.URL, url="https://example.com/a,b")
    assert f"{argument}https://example.com/a,,b" in other
    assert "guestfwd" not in other


@pytest.mark.parametrize(
    ("way", "identity", "service"),
    [
        (Way.AWS, "type=1,manufacturer=Amazon EC2,", "aws"),
        (Way.GCP, "product=Google Compute Engine", "gcp"),
        (Way.AZURE, "type=3,asset=7783-7084-3265-9085-8269-3286-77", "azure"),
        (Way.OPENSTACK, "product=OpenStack Nova", "openstack"),
    ],
)
def test_a_cloud_is_told_by_the_firmware_and_has_a_service(way: Way, identity: str, service: str) -> None:
    text = told(way)
    assert identity in text
    assert "-smbios type=11,path=/s/lab/a/n1/smbios.txt" in text, "systemd looks for fw_cfg only on a QEMU"
    assert "opt/io.systemd.credentials" not in text
    assert "restrict=on" in text
    assert (
        f"guestfwd=tcp:169.254.169.254:80-cmd:env PYTHONPATH=/r python3 -B -s -m orlop.lab.metadata.serve {service} n1"
        in text
    )
    assert cards(way) == ["nic0", "nic1", "md"]


def test_azure_s_cd_comes_with_a_service_that_has_no_user_data() -> None:
    text = told(Way.AZURE_CDROM)
    assert "type=3,asset=7783-7084-3265-9085-8269-3286-77" in text
    assert "serve azure n1 /s/lab/a/n1/no-config.ign" in text
    assert "media=cdrom" in text
    assert "ide-cd" in text


def test_a_config_drive_stands_for_a_cloud_without_a_service() -> None:
    text = told(Way.CONFIG_DRIVE)
    assert "169.254" not in text
    assert "file=/s/lab/a/n1/config.iso" in text
    assert cards(Way.CONFIG_DRIVE) == ["nic0", "nic1"]


def test_a_test_may_answer_itself() -> None:
    assert "80-cmd:socat - TCP:127.0.0.1:4711" in told(Way.AWS, port=4711)
    assert "80-cmd:socat - TCP:127.0.0.1:4711" in told(Way.URL, port=4711)


def test_paths_survive_qemu_and_its_splitting_into_words() -> None:
    text = told(Way.AWS, Path("/a, b'c"))
    words = text.split("80-cmd:")[1].split(" -device")[0].replace(",,", ",")
    assert shlex.split(words)[-1] == "/a, b'c/lab/a/n1/config.ign"


@pytest.mark.parametrize("way", Way)
def test_words(way: Way) -> None:
    assert parse_way(way.value) is way


def test_a_word_that_is_no_way() -> None:
    with pytest.raises(BadInput, match="'floppy'") as caught:
        parse_way("floppy")
    assert "config-drive" in caught.value.hint


@pytest.mark.parametrize("url", ["example.com", "ftp://example.com/x", "http://a b/", "http://a/\nx=1"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(BadInput):
        LabSource(Way.URL, url)


def test_an_address_goes_with_url_alone() -> None:
    with pytest.raises(BadInput, match="by way of aws"):
        LabSource(Way.AWS, "http://example.com/")


@pytest.mark.parametrize("way", Way)
def test_clouds_take_so_much_and_no_more(way: Way) -> None:
    most = LIMITS.get(way)
    Given(LabSource(way), b"x" * (most or 20_000_000))
    if most:
        with pytest.raises(BadInput, match=f"{most} are the most") as caught:
            Given(LabSource(way), b"x" * (most + 1))
        assert "replace" in caught.value.hint


def test_what_is_on_the_disks() -> None:
    files = drive_files("n1", b"{}")
    assert files["openstack/latest/user_data"] == files["openstack/2012-08-10/user_data"] == b"{}"
    assert b'"name": "n1"' in files["openstack/latest/meta_data.json"]
    ovf = ovf_files("n1", b"{}")
    assert ovf["CustomData.bin"] == b"{}"
    assert b"<CustomData>e30=</CustomData>" in ovf["ovf-env.xml"]
