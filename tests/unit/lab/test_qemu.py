from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orlop.lab.paths import Paths
from orlop.lab.ports import Forward
from orlop.lab.qemu import Machine, command, mac, private_ip
from orlop.lab.source import Source
from orlop.workspace import Workspace


def machine(
    state: Path = Path("/s"), *, accelerator: str = "tcg", private: bool = True, source: Source | None = None
) -> Machine:
    paths = Paths(Workspace(Path("/r"), state), "a")
    return Machine(
        lab="a",
        name="n1",
        index=1,
        cpus=1,
        memory_mib=1024,
        accelerator=accelerator,
        paths=paths.node("n1"),
        ssh_port=22000,
        root=Path("/r"),
        forwards=(Forward(8080, 80),),
        switch=paths.switch if private else None,
        media=paths.media if private else None,
        source=source,
    )


def test_what_qemu_is_told() -> None:
    text = " ".join(command(machine()))
    assert text.startswith("qemu-system-x86_64 -name a/n1 -uuid ")
    assert "-accel tcg,thread=multi,tb-size=512 -cpu max,-erms,-fsrm,-la57,-svm" in text
    assert "hostfwd=tcp:127.0.0.1:22000-:22,hostfwd=tcp:127.0.0.1:8080-:80" in text
    assert "-netdev vde,id=net1,sock=/tmp/orlop-" in text
    assert "logfile=/s/lab/a/n1/console.log" in text
    assert "logappend=on" in text
    assert "-fw_cfg name=opt/io.systemd.credentials/tmpfiles.extra,file=/s/lab/a/n1/tmpfiles.extra" in text
    assert "serial=orlop-media" in text
    assert "-daemonize" in text


def test_kvm_takes_the_cpu_of_the_host_and_a_machine_may_be_alone() -> None:
    text = " ".join(command(machine(accelerator="kvm", private=False)))
    assert "-accel kvm -cpu host" in text
    assert "vde" not in text
    assert "media" not in text


def test_commas_in_paths_are_doubled() -> None:
    assert "file=/a,,b/lab/a/n1/disk.qcow2," in " ".join(command(machine(Path("/a,b"))))


def test_a_disk_is_the_same_one_for_the_machine_when_its_writes_are_recorded() -> None:
    plain, node = " ".join(command(machine())), machine()
    recorded = " ".join(command(replace(node, write_log=node.paths.write_log)))
    assert "driver=blklogwrites" not in plain
    assert "file.file.filename=/s/lab/a/n1/disk.qcow2,log.driver=file,log.filename=/s/lab/a/n1/writes.log" in recorded
    for text in (plain, recorded):
        assert "-device virtio-blk-pci,drive=disk,serial=orlop-system,bootindex=0" in text


@given(st.text(), st.integers(1, 99), st.integers(1, 99))
def test_no_two_nics_of_a_lab_share_an_address(lab: str, i: int, k: int) -> None:
    assert mac(lab, i, 0) != mac(lab, i, 1)
    assert (mac(lab, i, 1) == mac(lab, k, 1)) == (i == k)
    first = int(mac(lab, i, 0).split(":")[0], 16)
    assert first & 0b11 == 0b10, "locally administered, and not a group's"


def test_private_addresses_count_up() -> None:
    assert [private_ip(i) for i in (1, 2, 32)] == ["10.77.0.11", "10.77.0.12", "10.77.0.42"]
