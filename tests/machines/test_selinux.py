"""A machine whose kernel enforces the SELinux policy of its image: it comes up well, does what machines do, and refuses attacks.

It is the image as it was built, but for two words on its kernel's command line (simulators/variants), so what is seen here
is what `os/selinux/mode` makes of it. One boot for all; what is refused must have its line in the kernel's log, and before
the attacks there is none.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orlop.lab import images
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.oci.demo import REF
from orlop.workspace import Workspace
from simulators import syscalls
from simulators.variants import Releases, VariantKind
from tests.machines.booting import butane
from tests.machines.machines import Machines, watched

LAB = "vmselinux"
CONFIG = """\
hostname: n1
passwd:
  users:
    - {name: ann, groups: [systemd-journal]}
storage:
  directories:
    - {path: /var/data, mode: 0755}
  files:
    - {path: /etc/app/settings, mode: 0644, contents: {inline: "a = 1\\n"}}
    - {path: /var/data/given, mode: 0644, contents: {inline: "of the configuration\\n"}}
    - path: /opt/bin/once
      mode: 0755
      contents: {inline: "#!/bin/sh\\necho ran > /run/once\\n"}
systemd:
  units:
    - name: once.service
      enabled: true
      contents: |
        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/opt/bin/once
        [Install]
        WantedBy=multi-user.target
    - name: pipe.socket
      enabled: true
      contents: |
        [Socket]
        ListenStream=/run/pipe/socket
        [Install]
        WantedBy=sockets.target
    - name: pipe.service
      contents: |
        [Service]
        ExecStart=/usr/bin/podman run --rm --name pipe --network none --entrypoint /bin/sh REF -c "read line <&3; echo $line > /dev/null"
health:
  checks:
    - {name: data, contents: "#!/bin/sh\\ntest -s /var/data/given\\n"}
quadlets:
  - name: web.container
    contents: |
      [Container]
      Image=REF
      Volume=/var/data:/data:z
      HealthCmd=/bin/true
      HealthInterval=10s
      [Install]
      WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def machines(ws: Workspace, releases: Releases) -> Iterator[Machines]:
    config = butane(CONFIG.replace("REF", REF))
    image = images.resolve(ws, str(releases.disk(1, VariantKind.ENFORCING)))
    plan = LabPlan(image, name=LAB, demo=True, given=(Given(LabSource(Way.FW_CFG), config),))
    with watched(ws, plan) as there:
        yield there


@dataclass(frozen=True)
class Seen:
    """A refusal as `orlop denials --json` lists it."""

    who: str
    what: str
    kind: str
    permissions: frozenset[str]


def denials(node: Node) -> list[dict[str, Any]]:
    ran = node.run("orlop", "denials", "--json")
    listed: list[dict[str, Any]] = json.loads(ran.out)["denials"]
    assert ran.code == (1 if listed else 0)
    return listed


def seen(node: Node) -> set[Seen]:
    return {Seen(d["source"], d["target"], d["kind"], frozenset(d["permissions"])) for d in denials(node)}


def is_seen(there: set[Seen], who: str, what: str, kind: str, permission: str) -> bool:
    return any((s.who, s.what, s.kind) == (who, what, kind) and permission in s.permissions for s in there)


def podman(node: Node, *options: str, script: str, timeout: float = 240.0) -> tuple[int, str]:
    """Run a shell script in a container of the demo image, as its root."""
    words = (
        "podman",
        "run",
        "--rm",
        "-u",
        "0",
        "--network",
        "none",
        *options,
        "--entrypoint",
        "/bin/sh",
        REF,
        "-c",
        script,
    )
    ran = node.run(*words, timeout=timeout)
    return ran.code, ran.out + ran.err


# a boot


def test_it_enforces_and_nothing_was_refused(n1: Node) -> None:
    """From the first instruction of the system's process 1 to a good verdict, with workloads and a check of the user's."""
    assert n1.sh("cat /sys/fs/selinux/enforce") == "1"
    assert denials(n1) == []
    assert n1.sh("systemctl list-units --failed --plain --no-legend") == ""
    assert "not defined in policy" not in n1.sh("journalctl -k -b -o cat")
    assert n1.sh("orlop denials") == "SELinux has refused nothing since this machine started\n"


def test_each_has_its_domain(n1: Node) -> None:
    domains = {
        "1": "init_t",
        "$(systemctl show -P MainPID orlop-update.service)": "update_t",
        "$(systemctl show -P MainPID orlop-watch.service)": "health_t",
        "$(systemctl show -P MainPID systemd-udevd.service)": "udev_t",
        "$(systemctl show -P MainPID systemd-resolved.service)": "system_t",
        "self": "admin_t",
    }
    said = n1.sh("; ".join(f"tr -d '\\0' < /proc/{pid}/attr/current; echo" for pid in domains))
    assert said.split() == [f"system_u:system_r:{domain}:s0" for domain in domains.values()]


def test_what_is_on_the_disk_and_in_memory_is_labelled(n1: Node) -> None:
    labels = {
        "/": "root_t",
        "/etc": "etc_t",
        "/etc/app/settings": "etc_t",
        "/etc/shadow": "secret_t",
        "/usr/bin/podman": "runtime_exec_t",
        "/opt/bin/once": "etc_t",
        "/run": "sys_run_t",
        "/run/systemd/generator": "unit_run_t",
        "/run/orlop/health.json": "orlop_run_t",
        "/var": "state_t",
        "/var/lib": "lib_state_t",
        "/var/lib/orlop/identity/secret": "secret_t",
        "/var/lib/orlop/machine-id": "orlop_state_t",
        "/var/lib/orlop/update": "update_state_t",
        "/dev/vda2": "disk_device_t",
    }
    said = n1.sh(f"ls -Zd {' '.join(labels)}")
    found = {words[1]: words[0].split(":")[2] for words in (line.split() for line in said.splitlines())}
    assert found == labels
    assert "fresh_t" not in n1.sh("ls -RZ /etc /var/lib/orlop /opt /run/orlop")


def test_the_configuration_s_own_programs_run(n1: Node) -> None:
    assert n1.sh("cat /run/once; ls -Z /var/data/given").split()[0] == "ran"
    assert n1.sh("systemctl is-active once.service web.service demo.service").split() == ["active"] * 3


def test_a_user_that_is_not_root_logs_in(n1: Node) -> None:
    said = n1.sh(
        "setpriv --reuid ann --regid ann --clear-groups --inh-caps=-all sh -c 'id -un; cat /proc/self/attr/current'"
    )
    assert said.split("\0")[0].split() == ["ann", "system_u:system_r:admin_t:s0"]


# what containers do every day


def test_containers_do_what_containers_do(n1: Node) -> None:
    inside = "set -e; cat /data/given; echo x > /data/new; echo a > /t/a; echo b > /n/b; echo c > /dev/shm/c; id -u"
    options = ("-v", "/var/data:/data:z", "--tmpfs", "/t", "-v", "named:/n")
    assert podman(n1, *options, script=inside) == (0, "of the configuration\n0\n")
    assert podman(n1, "--userns=auto", script="cat /proc/self/uid_map")[1].split()[:2] == ["0", "2147483647"]
    n1.sh("mkdir -p /var/own && echo mine > /var/own/file")
    assert podman(n1, "-v", "/var/own:/own:Z", script="cat /own/file; chown 5:5 /own/file") == (0, "mine\n")
    assert n1.sh("podman info --format '{{.Host.Security.SELinuxEnabled}}'") == "true\n"
    n1.sh(
        f"podman pod create --name two --network none && podman run -d --pod two --name in-pod --entrypoint /bin/sleep {REF} 60"
    )
    assert n1.sh("podman exec in-pod id -u").strip() == "65534"
    n1.sh("podman pod rm -f -t 0 two")
    build = f"mkdir -p /var/build && printf 'FROM {REF}\\nRUN echo built > /tmp/built\\n' > /var/build/Containerfile"
    n1.sh(f"{build} && podman build -q --network none --isolation oci /var/build", timeout=240)
    n1.sh(
        "for n in $(seq 30); do [ $(podman inspect web --format '{{.State.Health.Status}}') != healthy ] || exit 0; sleep 1; done; exit 1"
    )
    assert denials(n1) == []


def test_what_the_machine_does_every_day(n1: Node) -> None:
    n1.sh("systemctl restart systemd-timesyncd.service systemd-resolved.service web.service; systemctl daemon-reload")
    n1.sh(
        "orlop status --json; orlop diff; journalctl -n 5; systemd-analyze; networkctl; resolvectl status; loginctl; dmesg | tail -1"
    )
    n1.sh("systemctl start systemd-tmpfiles-clean.service fstrim.service")
    assert denials(n1) == []


# attacks


@dataclass(frozen=True)
class Attack:
    """A shell script that must fail, and the line that its refusal leaves."""

    script: str
    what: str
    kind: str
    permission: str


SYS = "/var/attack"  # programs with one system call each
ROOT = {
    "stop enforcing": Attack("echo 0 > /sys/fs/selinux/enforce", "security_t", "security", "setenforce"),
    "load a policy": Attack(
        "dd if=/usr/share/selinux/orlop/policy/policy.33 of=/sys/fs/selinux/load bs=1M",
        "security_t",
        "security",
        "load_policy",
    ),
    "write a slot": Attack(
        "dd if=/dev/zero of=/dev/vda2 bs=4k count=1 conv=notrunc", "disk_device_t", "blk_file", "write"
    ),
    "write the disk": Attack(
        "dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=notrunc", "disk_device_t", "blk_file", "write"
    ),
    "write the ESP": Attack("touch /boot/EFI/Linux/x", "boot_t", "dir", "write"),
    "write /usr": Attack("mount -o remount,rw /usr", "fs_t", "filesystem", "remount"),
    "open /etc": Attack("mount -o remount,bind,rw /etc", "tmpfs_t", "filesystem", "remount"),
    "mount over /etc": Attack("mount -t tmpfs none /etc/systemd/system", "tmpfs_t", "filesystem", "mount"),
    "uncover /etc": Attack("umount -l /etc", "tmpfs_t", "filesystem", "unmount"),
    "load a module": Attack("modprobe dummy", "admin_t", "capability", "sys_module"),
    "load a module by a unit": Attack("systemctl start modprobe@dummy.service", "closed_unit_t", "service", "start"),
    "run a file of /var": Attack("cp /usr/bin/true /var/x && /var/x", "state_t", "file", "execute"),
    "run a file of /tmp": Attack("cp /usr/bin/true /tmp/x && /tmp/x", "tmpfs_t", "file", "execute"),
    "ask process 1 to do it": Attack(
        "systemd-run -q --wait -p SELinuxContext=system_u:system_r:update_t:s0 dd if=/dev/zero of=/dev/vda2 count=0",
        "init_t",
        "system",
        "start",
    ),
    "write a unit": Attack("echo '[Service]' > /run/systemd/system/x.service", "unit_run_t", "dir", "write"),
    "write orders for tmpfiles": Attack("mkdir -p /run/tmpfiles.d", "sys_run_t", "dir", "write"),
    "write an extension": Attack("mkdir -p /var/lib/extensions", "lib_state_t", "dir", "write"),
    "change the update engine's state": Attack("echo > /var/lib/orlop/update/x", "update_state_t", "dir", "write"),
    "become the update engine": Attack(
        "echo system_u:system_r:update_t:s0 > /proc/self/attr/exec && exec cat /dev/null",
        "update_t",
        "process",
        "transition",
    ),
    "say what the kernel starts": Attack(
        "echo '|/usr/bin/systemd-run' > /proc/sys/kernel/core_pattern", "sysctl_kernel_t", "file", "write"
    ),
    "read the memory of process 1": Attack("head -c 1 /proc/1/mem", "init_t", "process", "ptrace"),
    "read the machine's memory": Attack("head -c 1 /dev/mem", "mem_device_t", "chr_file", "read"),
    "read the kernel's memory": Attack("head -c 1 /proc/kcore", "kcore_t", "file", "read"),
    "change the firmware": Attack(
        "printf '\\7\\0\\0\\0x' > /sys/firmware/efi/efivars/X-e3374dfd-237e-4189-a79d-2a3947076442",
        "efivars_t",
        "dir",
        "write",
    ),
    "steer podman into a hook": Attack(
        'mkdir -p /var/hooks && echo \'{"version":"1.0.0","hook":{"path":"/usr/bin/systemd-run"},"when":{"always":true},'
        f'"stages":["prestart"]}}\' > /var/hooks/h.json && podman --hooks-dir /var/hooks run --rm --network none {REF} true',
        "os_t",
        "file",
        "execute",
    ),
    "have podman write a unit": Attack(
        "podman create --name w -q " + REF + " && podman cp w:/bin/demo /run/systemd/system/x.service",
        "unit_run_t",
        "dir",
        "write",
    ),
    "have podman relabel units": Attack(
        f"podman run --rm --network none -v /run/systemd/system:/x:z {REF} true", "unit_run_t", "dir", "relabelfrom"
    ),
    "a container as the update engine": Attack(
        f"podman run --rm --network none --security-opt label=type:update_t {REF} true",
        "update_t",
        "process",
        "transition",
    ),
}


def test_root_cannot_undo_the_system(n1: Node) -> None:
    """Each is tried by root at a shell, fails, and is in the log."""
    succeeded, unseen = [], []
    for name, attack in ROOT.items():
        before = seen(n1)
        if n1.run("sh", "-c", attack.script, timeout=240).code == 0:
            succeeded.append(name)
        who = "runtime_t" if "podman" in attack.script else "admin_t"
        who = "udev_t" if who == "x" else who
        after = seen(n1)
        if not is_seen(after - before, who, attack.what, attack.kind, attack.permission):
            unseen.append(f"{name}: {sorted(map(str, after - before))}")
    assert (succeeded, unseen) == ([], [])


CALLS = {
    "bpf": (syscalls.BPF, 0, b"\x02\0\0\0\4\0\0\0\4\0\0\0\1\0\0\0" + bytes(56), 72),
    "userfaultfd": (syscalls.USERFAULTFD, 0),
    "init-module": (syscalls.INIT_MODULE, bytes(64), 64, b"\0"),
    "kexec": (syscalls.KEXEC_LOAD, 0, 0, 0, 0),
}
INSIDE = """
try() { name=$1; shift; if "$@" > /dev/null 2>&1; then echo "$name: done"; else echo "$name: refused"; fi; }
write() { echo "$2" > "$1"; }
busybox mkdir -p /mnt
try mount busybox mount -t tmpfs none /mnt
try sysctl write /proc/sys/kernel/core_pattern x
try sysfs write /sys/kernel/uevent_helper x
try cgroup write /sys/fs/cgroup/cgroup.procs 1
try policy write /sys/fs/selinux/enforce 0
try log busybox dmesg
try disk busybox dd if=/dev/zero of=/disk bs=1 count=1
try other cat /other/own
try host cat /host/shadow
try socket busybox nc local:/bus -e /bin/true
for name in bpf userfaultfd init-module kexec; do try $name /calls/$name; done
"""


def test_a_container_has_nothing_but_its_own(n1: Node) -> None:
    """With all capabilities and without seccomp, so that it is SELinux that refuses."""
    n1.sh(f"mkdir -p {SYS}")
    for name, (number, *arguments) in CALLS.items():
        code = syscalls.program(number, *arguments)
        n1.sh(f"cat > {SYS}/{name} && chmod 755 {SYS}/{name}", stdin=code)
    n1.sh(
        f"podman run -d --name first -u 0 --network none --entrypoint /bin/sh {REF} -c 'echo secret > /own; sleep 600'"
    )
    tree = n1.sh("podman mount first").strip()
    before = seen(n1)
    options = (
        *(
            "--cap-add=all",
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "unmask=all",
            "-v",
            f"{SYS}:/calls:z",
        ),
        *(
            "-v",
            f"{tree}:/other",
            "-v",
            "/etc:/host:ro",
            "--device",
            "/dev/vda2:/disk",
            "-v",
            "/run/dbus/system_bus_socket:/bus",
        ),
    )
    ended, said = podman(n1, *options, script=INSIDE)
    assert "done" not in said, said
    assert said.count("refused") == 14, (ended, said)
    after = seen(n1) - before
    for what, kind, permission in (
        ("container_file_t", "dir", "search"),
        ("etc_t", "dir", "search"),
        ("container_file_t", "blk_file", "write"),
        ("security_t", "file", "write"),
        ("container_t", "bpf", "map_create"),
        ("uffd_t", "anon_inode", "create"),
        ("container_t", "capability", "sys_module"),
        ("container_t", "capability", "sys_boot"),
        ("container_t", "capability2", "syslog"),
    ):
        assert is_seen(after, "container_t", what, kind, permission), (what, kind, permission, sorted(map(str, after)))
    labels = n1.sh("podman inspect first demo --format '{{.ProcessLabel}}'").split()
    assert len({label.split(":", 3)[3] for label in labels}) == 2, labels


CAPABILITIES = ("sys_admin", "sys_module", "sys_rawio", "sys_ptrace", "mknod", "dac_read_search", "net_admin", "bpf")


def test_no_single_capability_opens_the_host(n1: Node) -> None:
    for capability in CAPABILITIES:
        script = "cat /host/shadow; busybox mount -t tmpfs none /mnt && echo mounted; busybox mknod /d b 254 0 && head -c 1 /d && echo read"
        _, said = podman(n1, f"--cap-add={capability}", "-v", "/etc:/host:ro", script=script)
        assert not {"root:", "mounted", "read"} & set(said.split()), (capability, said)


def test_a_privileged_container_is_not_the_machine(n1: Node) -> None:
    script = (
        "cat /proc/self/attr/current; echo 0 > /sys/fs/selinux/enforce && echo off; echo x > /dev/vda2 && echo written; "
        "echo x > /host/run/systemd/system/x.service && echo unit; busybox mount -t tmpfs none /host/etc && echo mounted; "
        "echo x > /host/etc/x && echo etc; echo x > /proc/sys/kernel/core_pattern && echo core; /calls/init-module && echo module; true"
    )
    code, said = podman(n1, "--privileged", "--pid=host", "-v", "/:/host:rshared", "-v", f"{SYS}:/calls", script=script)
    assert said.split("\0")[0].startswith("system_u:system_r:spc_t:"), said
    assert not {"off", "written", "unit", "mounted", "etc", "core", "module"} & set(said.split()), said
    assert code == 0
    log = n1.sh("journalctl -k -b -o cat")
    assert any("granted  { transition }" in line and "spc_t" in line for line in log.splitlines()), (
        "each entry is written down"
    )


def test_the_command_explains_them(n1: Node) -> None:
    ran = n1.run("orlop", "denials")
    assert ran.code == 1
    assert "a login (sh) was refused to setenforce SELinux itself" in ran.out
    assert "nothing allows it: only the update engine and checks of file systems write to disks" in ran.out
    assert shlex.split(ran.out.splitlines()[0])
