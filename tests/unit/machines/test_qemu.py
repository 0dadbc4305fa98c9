from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from orlop.machines.paths import MachinePaths
from orlop.machines.ports import Forward
from orlop.machines.qemu import Drive, Nic, Service, SwitchPort, WayOut, WholeMachine, command
from orlop.machines.tools import Tools
from tests.unit.machines.tooling import TOOLS


def machine(folder: Path = Path("/s/a/n1"), *, accelerator: str = "tcg") -> WholeMachine:
    run = Path("/tmp/a")
    return WholeMachine(
        name="a/n1",
        uuid="6f0c2a3e-0000-5000-8000-000000000001",
        at=MachinePaths(folder, run / "n1.qmp", run / "n1.con", run / "n1.out"),
        cpus=1,
        memory_mib=1024,
        accelerator=accelerator,
        drives=(Drive("disk", folder / "disk.qcow2", "system", is_system=True),),
    )


def told(m: WholeMachine, tools: Tools = TOOLS) -> str:
    return " ".join(command(m, tools))


def test_what_qemu_is_told() -> None:
    text = told(machine())
    assert text.startswith("qemu-system-x86_64 -name a/n1 -uuid 6f0c2a3e-")
    assert "-accel tcg,thread=multi,tb-size=512 -cpu max,-erms,-fsrm,-fsrs,-fsrc,-fzrm,-la57,-svm" in text
    assert "logfile=/s/a/n1/console.log" in text
    assert "logappend=on" in text
    assert "-device virtio-blk-pci,drive=disk,serial=system,bootindex=0" in text
    assert "-daemonize" in text
    assert "-netdev" not in text


def test_the_program_and_its_firmware_are_those_that_are_given() -> None:
    text = told(machine(), replace(TOOLS, qemu="/opt/qemu", firmware=Path("/opt/code.fd")))
    assert text.startswith("/opt/qemu ")
    assert "unit=0,format=raw,readonly=on,file=/opt/code.fd" in text


def test_kvm_takes_the_cpu_of_the_host() -> None:
    assert "-accel kvm -cpu host" in told(machine(accelerator="kvm"))


def test_a_counted_machine_has_the_emulated_processor_and_a_clock_of_instructions() -> None:
    plain, counted = (command(machine(accelerator=name), TOOLS) for name in ("tcg", "counted"))
    assert counted[counted.index("-icount") + 1] == "shift=2,sleep=on"
    assert counted[counted.index("-accel") + 1].startswith("tcg,thread=single,")
    assert counted[counted.index("-cpu") + 1] == plain[plain.index("-cpu") + 1]


def test_cards_lead_out_or_to_a_switch() -> None:
    service = Service("10.0.2.100", ("answer", "it's, me"))
    out = WayOut((Forward(22000, 22), Forward(8080, 80)), (service,))
    nics = (Nic("nic0", "52:54:00:00:00:01", out), Nic("nic1", "m", SwitchPort(Path("/sw"))))
    text = told(replace(machine(), nics=nics))
    assert "user,id=nic0net,ipv6=off,hostfwd=tcp:127.0.0.1:22000-:22,hostfwd=tcp:127.0.0.1:8080-:80" in text
    assert "-device virtio-net-pci,id=nic0,netdev=nic0net,mac=52:54:00:00:00:01,romfile=" in text
    assert "-netdev vde,id=nic1net,sock=/sw -device virtio-net-pci,id=nic1,netdev=nic1net,mac=m" in text
    words = text.split("guestfwd=tcp:10.0.2.100:80-cmd:")[1].split(" -device")[0]
    assert shlex.split(words.replace(",,", ",")) == ["answer", "it's, me"], "QEMU takes doubled commas for one"


def test_a_network_may_be_unplugged_behind_a_switch_so_that_the_card_keeps_its_carrier() -> None:
    near, far = (Nic("nic0", "m", WayOut(), is_far=is_far) for is_far in (False, True))
    assert (near.plug, far.plug) == ("nic0", "nic0far")
    text = told(replace(machine(), nics=(far,)))
    assert "-netdev hubport,id=nic0far,hubid=0,netdev=nic0net -netdev hubport,id=nic0near,hubid=0" in text
    assert "-device virtio-net-pci,id=nic0,netdev=nic0near,mac=m" in text


def test_disks_may_be_slow_and_have_large_sectors_and_the_clock_may_be_wrong() -> None:
    data = Drive("data1", Path("/d"), "data1", sector=4096, most=(150, 10_000_000))
    text = told(replace(machine(), drives=(data,), clock="2035-01-01T00:00:00"))
    assert "throttling.iops-total=150,throttling.bps-total=10000000" in text
    assert "serial=data1,logical_block_size=4096,physical_block_size=4096" in text
    assert "-rtc base=2035-01-01T00:00:00" in text
    plain = told(machine())
    assert "-rtc" not in plain and "throttling" not in plain and "block_size" not in plain


def test_commas_in_paths_are_doubled() -> None:
    assert "file=/a,,b/n1/disk.qcow2," in told(machine(Path("/a,b/n1")))


def test_a_disk_is_the_same_one_for_the_machine_when_its_writes_are_recorded() -> None:
    plain = machine()
    recorded = replace(plain, drives=(replace(plain.drives[0], write_log=plain.at.write_log),))
    assert "driver=blklogwrites" not in told(plain)
    text = told(recorded)
    assert "file.file.filename=/s/a/n1/disk.qcow2,log.driver=file,log.filename=/s/a/n1/writes.log" in text
    assert "-device virtio-blk-pci,drive=disk,serial=system,bootindex=0" in text


def test_what_is_only_read_is_given_as_it_is() -> None:
    media = Drive("media", Path("/m"), "media", is_raw=True)
    cd = Drive("cd", Path("/c"), "", is_raw=True, is_cd=True)
    text = told(replace(machine(), drives=(media, cd)))
    assert "if=none,id=media,file=/m,format=raw,readonly=on -device virtio-blk-pci,drive=media,serial=media" in text
    assert "media=cdrom,file=/c,format=raw,readonly=on -device ide-cd,drive=cd" in text


def test_the_firmware_tells_what_it_is_given() -> None:
    more = replace(machine(), fw_cfg=(("opt/x", Path("/f,")),), tables=("type=1,product=P",), strings=(Path("/t"),))
    assert "-fw_cfg name=opt/x,file=/f,, -smbios type=1,product=P -smbios type=11,path=/t" in told(more)
