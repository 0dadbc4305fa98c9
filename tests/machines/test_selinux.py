"""A machine that enforces the SELinux policy of its image: it comes up well, does what machines do, refuses attacks.

It is the image as it was built, but for two words on its kernel's command line (simulators/variants), so what is seen
here is what `os/selinux/mode` makes of it. One boot for all; what is refused must have its line in the kernel's log,
and before the attacks there is none.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed
from orlop.lab import images
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.machines.ports import LOOPBACK
from orlop.oci.demo import REF
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace
from simulators.variants import Releases, VariantKind
from tests.machines import attacks
from tests.machines.attacks import Refusal
from tests.machines.booting import butane
from tests.machines.machines import Machines, watched
from tests.machines.updates import reboot_to, served, stage

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
health:
  checks:
    - {name: data, contents: "#!/bin/sh\\ntest -s /var/data/given\\n"}
quadlets:
  - name: web.container
    contents: |
      [Unit]
      After=demo.service
      Requires=demo.service
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


def denials(node: Node) -> list[dict[str, Any]]:
    ran = node.run("orlop", "denials", "--json")
    listed: list[dict[str, Any]] = json.loads(ran.out)["denials"]
    assert ran.code == (1 if listed else 0)
    return listed


def refused(node: Node) -> set[Refusal]:
    """What is in the log by now."""
    return {
        Refusal(d["source"], d["target"], d["kind"], permission)
        for d in denials(node)
        for permission in d["permissions"]
    }


def podman(node: Node, *options: str, script: str, timeout: float = 240.0) -> tuple[int, str]:
    """Run a shell script in a container of the demo image, as its root."""
    given = ("podman", "run", "--rm", "-u", "0", "--network", "none", *options)
    words = (*given, "--entrypoint", "/bin/sh", REF, "-c", script)
    ran = node.run(*words, timeout=timeout)
    return ran.code, ran.out + ran.err


# a boot


def test_it_enforces_and_nothing_was_refused(n1: Node) -> None:
    """From the first instruction of the system to a good verdict, with workloads and a check of the user's."""
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
    keys = "$(cat /root/.ssh/authorized_keys /root/.ssh/authorized_keys.d/* 2> /dev/null)"
    n1.sh(
        f'umask 077; mkdir -p /home/ann/.ssh; echo "{keys}" > /home/ann/.ssh/authorized_keys; chown -R ann: /home/ann'
    )
    words = ["sh", "-c", "id -un; tr -d '\\0' < /proc/self/attr/current; echo; cat /etc/shadow"]
    argv = [word.replace("root@", "ann@") for word in n1.argv(words)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["ann", "system_u:system_r:admin_t:s0"], done
    assert "Permission denied" in done.stderr


# what containers do every day


def test_containers_do_what_containers_do(n1: Node) -> None:
    inside = "set -e; cat /data/given; echo x > /data/new; echo a > /t/a; echo b > /n/b; echo c > /dev/shm/c; id -u"
    options = ("-v", "/var/data:/data:z", "--tmpfs", "/t", "-v", "named:/n")
    for _ in range(2):  # the second has what the first wrote
        assert podman(n1, *options, script=inside) == (0, "of the configuration\n0\n")
    assert podman(n1, "--userns=auto", script="cat /proc/self/uid_map")[1].split()[:2] == ["0", "2147483647"]
    n1.sh("mkdir -p /var/own && echo mine > /var/own/file")
    assert podman(n1, "-v", "/var/own:/own:Z", script="cat /own/file; chown 5:5 /own/file") == (0, "mine\n")
    assert n1.sh("podman info --format '{{.Host.Security.SELinuxEnabled}}'") == "true\n"
    n1.sh("podman pod create --name two --network none")
    n1.sh(f"podman run -d --pod two --name in-pod --entrypoint /bin/sleep {REF} 60")
    assert n1.sh("podman exec in-pod id -u").strip() == "65534"
    n1.sh("podman pod rm -f -t 0 two")
    build = f"mkdir -p /var/build && printf 'FROM {REF}\\nRUN echo built > /tmp/built\\n' > /var/build/Containerfile"
    n1.sh(f"{build} && podman build -q --network none --isolation oci /var/build", timeout=240)
    asked = "podman inspect systemd-web --format '{{.State.Health.Status}}'"
    n1.sh(f"for n in $(seq 30); do [ $({asked}) != healthy ] || exit 0; sleep 1; done; exit 1", timeout=240)
    assert denials(n1) == []


def test_what_the_machine_does_every_day(n1: Node) -> None:
    n1.sh("systemctl restart systemd-timesyncd.service systemd-resolved.service web.service; systemctl daemon-reload")
    n1.sh("orlop diff; orlop status --json && systemd-analyze && networkctl && resolvectl status && loginctl")
    n1.sh("journalctl -n 5 && dmesg | tail -n 1 && ss -a && ip addr && nft list ruleset && ps aux && systemctl status")
    n1.sh("systemctl start systemd-tmpfiles-clean.service fstrim.service")
    # what shows groups of processes asks for attributes that only a mount's owner sees, and does without
    assert [d for d in denials(n1) if (d["source"], d["kind"]) != ("admin_t", "capability")] == []


# attacks


def test_files_come_by_scp_as_a_login_s_own(ws: Workspace, n1: Node, tmp_path: Path) -> None:
    """Sshd does that itself: it must not be what writes there."""
    (tmp_path / "file").write_text("by scp\n")
    scp: list[str | Path] = ["scp", "-F", "none", "-i", n1.paths.login.key, "-P", str(n1.port(22))]
    scp += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", tmp_path / "file"]
    sdk_run(ws, [*scp, f"root@{LOOPBACK}:/var/by-scp"], what="scp", timeout=120)
    assert n1.sh("cat /var/by-scp") == "by scp\n"
    with pytest.raises(CommandFailed):
        sdk_run(ws, [*scp, f"root@{LOOPBACK}:/run/systemd/system/x.service"], what="scp", timeout=120)
    assert Refusal("sftpd_t", "unit_run_t", "dir", "write") in refused(n1)


def test_root_cannot_undo_the_system(machines: Machines, n1: Node) -> None:
    """Each is tried by root at a shell, fails, and is in the log."""
    machines.attackers.add("runtime_t")
    table = attacks.attacks(attacks.ROOT)
    # not faster than the kernel writes down what it refuses: ten lines in five seconds (printk_ratelimit)
    tries = [f"(timeout 120 sh -c {shlex.quote(attack.script)}) > /dev/null 2>&1; echo $?; sleep 1" for attack in table]
    script = "\n".join(tries)
    codes = n1.sh(script, timeout=600).split()
    assert len(codes) == len(table)
    there = refused(n1)
    assert [attack.name for attack, code in zip(table, codes, strict=True) if code == "0"] == []
    assert [attack.name for attack in table if attack.refusal not in there] == [], sorted(map(str, there))
    assert n1.sh("cat /sys/fs/selinux/enforce; findmnt -n -o OPTIONS /etc").startswith("1ro")
    assert n1.sh("systemctl is-active orlop-update.service demo.service").split() == ["active", "active"]


def test_a_container_has_nothing_but_its_own(n1: Node) -> None:
    """With all capabilities and without seccomp, so that it is SELinux that refuses."""
    n1.sh("mkdir -p /var/calls")
    for name, program in attacks.CALLS.items():
        n1.sh(f"cat > /var/calls/{name} && chmod 755 /var/calls/{name}", stdin=program)
    n1.sh(
        f"podman run -d --name first -u 0 --network none --entrypoint /bin/sh {REF} -c 'echo secret > /own; sleep 900'"
    )
    tree = n1.sh("podman mount first").strip()
    before = refused(n1)
    options = (
        *("--cap-add=all", "--security-opt", "seccomp=unconfined", "--security-opt", "unmask=all"),
        *("-v", "/var/calls:/calls:z", "-v", f"{tree}:/other", "-v", "/etc:/host:ro", "--device", "/dev/vda2:/disk"),
    )
    ended, said = podman(n1, *options, script=attacks.INSIDE)
    tries = attacks.INSIDE.count("\ntry ") + len(attacks.CALLS)
    assert ("done" in said, said.count("refused")) == (False, tries), (ended, said)
    there = refused(n1) - before
    expected = {Refusal.parse(line) for line in attacks.INSIDE_SEEN.strip().splitlines()}
    assert expected <= there, (expected - there, there)
    labels = n1.sh("podman inspect first demo --format '{{.ProcessLabel}}'").split()
    assert len({label.split(":", 3)[3] for label in labels}) == 2, labels


def test_no_single_capability_opens_the_host(n1: Node) -> None:
    for capability in attacks.CAPABILITIES:
        _, said = podman(n1, f"--cap-add={capability}", "-v", "/etc:/host:ro", script=attacks.SINGLE)
        assert "Permission denied" in said, (capability, said)
        assert not any(word in said for word in ("root:", "mounted", "read\n")), (capability, said)


def test_a_privileged_container_is_not_the_machine(n1: Node) -> None:
    options = ("--privileged", "--pid=host", "-v", "/:/host:rshared", "-v", "/var/calls:/calls")
    ended, said = podman(n1, *options, script=attacks.PRIVILEGED)
    assert (ended, said.startswith("system_u:system_r:spc_t:")) == (0, True), said
    assert not attacks.PRIVILEGED_DONE & set(said.split()), said
    granted = n1.sh("journalctl -k -b -o cat | grep 'granted  { transition }'")
    assert "scontext=system_u:system_r:runtime_t:s0" in granted, "each entry is written down"


def test_the_command_explains_them(n1: Node) -> None:
    ran = n1.run("orlop", "denials")
    assert ran.code == 1
    assert "a login (sh) was refused to setenforce SELinux itself" in ran.out
    assert "nothing allows it: only the update engine and checks of file systems write to disks" in ran.out


# another boot


@pytest.mark.long  # two boots more
def test_an_update_goes_through_and_leaves_labels_alone(n1: Node, releases: Releases) -> None:
    """The engine writes slot and ESP, the new version is blessed, and what is in /var keeps its labels."""
    kept = (
        "ls -Z /var/lib/orlop/machine-id /var/lib/orlop/ssh/ssh_host_ed25519_key; ls -Zd /var /var/lib/orlop/identity"
    )
    before = n1.sh(kept)
    with served(releases.make(2, VariantKind.ENFORCING)) as release:
        stage(n1, release)
        reboot_to(n1, release.version)
    assert n1.sh("cat /sys/fs/selinux/enforce") == "1"
    assert denials(n1) == []
    assert n1.sh(kept) == before
    assert "fresh_t" not in n1.sh("ls -RZ /var/data /var/lib/orlop /etc")
