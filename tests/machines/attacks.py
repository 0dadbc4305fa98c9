"""What root at a shell, a container and a privileged container try on a machine that enforces SELinux.

A table has an attack a line: its name; who is refused, what of, the class and the permission of the refusal's line in
the log; and the shell script that must fail. A script that is too long for a line is in SCRIPTS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orlop.oci.demo import REF
from tests.machines import syscalls

CALLS: Mapping[str, bytes] = {
    "bpf": syscalls.program(syscalls.BPF, 0, b"\x02\0\0\0\4\0\0\0\4\0\0\0\1\0\0\0" + bytes(56), 72),
    "userfaultfd": syscalls.program(syscalls.USERFAULTFD, 0),
    "init-module": syscalls.program(syscalls.INIT_MODULE, bytes(64), 64, b"\0"),
    "kexec": syscalls.program(syscalls.KEXEC_LOAD, 0, 0, 0, 0),
}
HOOK = '{"version": "1.0.0", "hook": {"path": "/usr/bin/dd"}, "when": {"always": true}, "stages": ["prestart"]}'
UPDATE = "system_u:system_r:update_t:s0"
RUN = "podman run --rm --network none"
HOOKED = f"podman --hooks-dir /var/hooks run --rm --network none {REF} true"
SCRIPTS = {
    "HOOK": f"mkdir -p /var/hooks; echo '{HOOK}' > /var/hooks/h.json; {HOOKED}",
    "BECOME": f"printf %s {UPDATE} > /proc/self/attr/exec; exec cat /proc/self/attr/exec",
    "LABEL": f"{RUN} --security-opt label=type:update_t {REF} true",
    "POLICY": "dd if=/usr/share/selinux/orlop/policy/policy.33 of=/sys/fs/selinux/load bs=1M",
    "ASK": f"systemd-run -q --wait -p SELinuxContext={UPDATE} dd if=/dev/zero of=/dev/vda2 count=0",
    "FIRMWARE": "printf '\\7\\0\\0\\0x' > /sys/firmware/efi/efivars/X-e3374dfd-237e-4189-a79d-2a3947076442",
    "COPY": f"podman create -q --name w {REF}; podman cp w:/bin/demo /run/systemd/system/x.service",
}
# the name | who, what, class, permission | how
ROOT = rf"""
stop enforcing              | admin_t security_t security setenforce   | echo 0 > /sys/fs/selinux/enforce
load a policy               | admin_t security_t security load_policy  | POLICY
write a slot                | admin_t disk_device_t blk_file write     | dd if=/dev/zero of=/dev/vda2 count=1
write the ESP               | admin_t boot_t dir write                 | touch /boot/EFI/Linux/x
write /usr                  | admin_t admin_t capability sys_admin       | mount -o remount,rw /usr
open /etc                   | admin_t admin_t capability sys_admin       | mount -o remount,bind,rw /etc
mount over /etc             | admin_t admin_t capability sys_admin       | mount -t tmpfs none /etc/systemd/system
uncover /etc                | admin_t admin_t capability sys_admin       | umount -l /etc
load a module               | admin_t admin_t capability sys_module    | modprobe dummy
load a module by a unit     | admin_t closed_unit_t service start      | systemctl start modprobe@dummy.service
run a file of /var          | admin_t state_t file execute             | cp /usr/bin/true /var/x && /var/x
run a file of /tmp          | admin_t tmpfs_t file execute             | cp /usr/bin/true /tmp/x && /tmp/x
ask process 1 to do it      | admin_t init_t system start              | ASK
write a unit                | admin_t unit_run_t dir write             | echo > /run/systemd/system/x.service
write orders for tmpfiles   | admin_t sys_run_t dir write              | mkdir -p /run/tmpfiles.d
bring an extension          | admin_t lib_state_t dir write            | mkdir -p /var/lib/extensions
change the engine's state   | admin_t update_state_t dir write         | echo > /var/lib/orlop/update/x
become the update engine    | admin_t update_t process transition      | BECOME
say what the kernel starts  | admin_t sysctl_kernel_t file write       | echo x > /proc/sys/kernel/core_pattern
the memory of process 1     | admin_t init_t process ptrace            | head -c 1 /proc/1/mem
the machine's memory        | admin_t mem_device_t chr_file read       | head -c 1 /dev/mem
the kernel's memory         | admin_t kcore_t file read                | head -c 1 /proc/kcore
change the firmware         | admin_t efivars_t dir write              | FIRMWARE
a hook of podman            | runtime_t os_t file execute_no_trans     | HOOK
have podman write a unit    | runtime_t unit_run_t dir write           | COPY
have podman relabel units   | runtime_t unit_run_t dir relabelfrom     | {RUN} -v /run/systemd/system:/x:z {REF} true
a container as the engine   | runtime_t update_t key create            | LABEL
"""

# in a container with all capabilities and without seccomp
INSIDE = """
try() { name=$1; shift; if "$@" > /dev/null 2>&1; then echo "$name: done"; else echo "$name: refused"; fi; }
write() { echo "$2" > "$1"; }
mkdir -p /tmp/mnt
try mount mount -t tmpfs none /tmp/mnt
try sysctl write /proc/sys/kernel/core_pattern x
try sysfs write /sys/kernel/uevent_helper x
try cgroup write /sys/fs/cgroup/cgroup.procs 1
try policy write /sys/fs/selinux/enforce 0
try disk dd if=/dev/zero of=/disk bs=1 count=1
try other cat /other/own
try host cat /host/shadow
for name in bpf userfaultfd init-module kexec; do try $name /calls/$name; done
"""
INSIDE_SEEN = """
container_t container_file_t dir search
container_t etc_t dir search
runtime_t container_file_t blk_file write
container_t container_t bpf map_create
container_t uffd_t anon_inode create
container_t container_t capability sys_module
container_t container_t capability sys_boot
"""
CAPABILITIES = ("sys_admin", "sys_module", "sys_rawio", "sys_ptrace", "mknod", "dac_read_search", "net_admin", "bpf")
SINGLE = (
    "cat /host/shadow; mount -t tmpfs none /tmp && echo mounted; mknod /d b 254 0 && head -c 1 /d && echo read; true"
)
PRIVILEGED = """
cat /proc/self/attr/current; echo
echo 0 > /sys/fs/selinux/enforce && echo off
echo x > /dev/vda2 && echo written
echo x > /host/run/systemd/system/x.service && echo unit
mount -t tmpfs none /host/etc && echo mounted
echo x > /host/etc/x && echo etc
echo x > /proc/sys/kernel/core_pattern && echo core
/calls/init-module && echo module
true
"""
PRIVILEGED_DONE = frozenset("off written unit mounted etc core module".split())


@dataclass(frozen=True)
class Refusal:
    """A line of the log: types of who was refused and of what, the class, and one permission."""

    who: str
    what: str
    kind: str
    permission: str

    @classmethod
    def parse(cls, words: str) -> Refusal:
        return cls(*words.split())


@dataclass(frozen=True)
class Attack:
    name: str
    refusal: Refusal
    script: str


def attacks(table: str) -> list[Attack]:
    """The attacks of a table."""
    rows = [[cell.strip() for cell in line.split("|", 2)] for line in table.strip().splitlines()]
    return [Attack(name, Refusal.parse(words), SCRIPTS.get(script, script)) for name, words, script in rows]
