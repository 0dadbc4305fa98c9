"""What no rule may give, with the real compiler: each invariant is broken once, and the build refuses."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orlop.errors import CommandFailed
from orlop.image import selinux
from orlop.sdk import tree
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace

VIOLATIONS = {
    "a login loads a policy": "(allow admin_t security_t (security (load_policy)))",
    "root stops enforcing": "(allow system_t security_t (security (setenforce)))",
    "a privileged container overrides labels": "(allow spc_t self (capability2 (mac_admin)))",
    "a service writes a disk": "(allow system_t disk_device_t (blk_file (write)))",
    "a container's own node of a disk": "(allow spc_t container_file_t (blk_file (write)))",
    "somebody reads the memory": "(allow spc_t mem_device_t (chr_file (read)))",
    "a login writes the ESP": "(allow admin_t boot_t (file (write)))",
    "a login runs a file of /var": "(allow admin_t state_t (file (execute)))",
    "a service runs a file of /run": "(allow system_t run_t (file (execute execute_no_trans)))",
    "podman runs a hook": "(allow runtime_t os_t (file (execute_no_trans)))",
    "podman runs a hook of /var": "(allow runtime_t state_t (file (execute_no_trans)))",
    "a login writes /etc": "(allow admin_t etc_t (file (write)))",
    "a service writes programs": "(allow system_t os_t (file (write)))",
    "a container loads a module": "(allow container_t self (capability (sys_module)))",
    "a module from /var": "(allow udev_t state_t (system (module_load)))",
    "a login writes a unit": "(allow admin_t unit_run_t (file (create write)))",
    "podman writes a unit": "(allow runtime_t unit_run_t (file (write)))",
    "podman relabels units": "(allow runtime_t unit_run_t (dir (relabelfrom)))",
    "a login has process 1 start anything": "(allow admin_t init_t (system (start)))",
    "a privileged container, too": "(allow spc_t init_t (system (start)))",
    "a login may mount": "(allow admin_t self (capability (sys_admin)))",
    "a login mounts": "(allow admin_t tmpfs_t (filesystem (mount)))",
    "a login says what the kernel starts": "(allow admin_t sysctl_kernel_t (file (write)))",
    "a container writes the host": "(allow container_t state_t (file (write)))",
    "a container mounts": "(allow container_t container_file_t (dir (mounton)))",
    "a container is an administrator": "(allow container_t self (capability (sys_admin)))",
    "a container kills others": "(allow container_t system_t (process (sigkill)))",
    "a container waits in a page fault": "(allow container_t uffd_t (anon_inode (create)))",
    "a container has programs in the kernel": "(allow container_t self (bpf (prog_load)))",
}


@pytest.fixture(scope="module")
def ws() -> Workspace:
    found = Workspace.find()
    tree.ensure(found, Steps())
    return found


def test_the_policy_holds_them_and_is_the_same_each_time(ws: Workspace, tmp_path: Path) -> None:
    first, second = (selinux.compile_policy(ws, tmp_path / name) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[16:20] == bytes([selinux.VERSION, 0, 0, 0])
    assert first.stat().st_size < 200_000
    selinux.check_contexts(ws, first, ws.os_tree / "selinux/file_contexts", tmp_path / "a")


@pytest.mark.parametrize("rule", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_rule_that_breaks_one_is_refused(ws: Workspace, tmp_path: Path, rule: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        selinux.compile_policy(ws, tmp_path, [("user.cil", rule)])
    assert "neverallow check failed" in refused.value.tail
    assert "user.cil" in refused.value.tail, "and says which"


def test_a_label_that_is_none_is_refused(ws: Workspace, tmp_path: Path) -> None:
    compiled = selinux.compile_policy(ws, tmp_path)
    contexts = tmp_path / "file_contexts"
    contexts.write_text("/x\tsystem_u:object_r:no_such_t:s0\n")
    with pytest.raises(CommandFailed):
        selinux.check_contexts(ws, compiled, contexts, tmp_path)


KINDS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "block": stat.S_IFBLK, "char": stat.S_IFCHR}
LABELS = {
    ("/usr/bin/ls", "file"): "os_t",
    ("/usr/bin/podman", "file"): "runtime_exec_t",
    ("/usr/libexec/podman/quadlet", "file"): "os_t",
    ("/usr/libexec/podman/catatonit", "file"): "container_ro_file_t",
    ("/usr/sbin/fsck.vfat", "file"): "fsck_exec_t",
    ("/usr/lib/systemd/system/modprobe@.service", "file"): "closed_unit_t",
    ("/usr/lib/systemd/system/demo.service", "file"): "os_t",
    ("/etc/ssh/sshd_config", "file"): "etc_t",
    ("/etc/shadow", "file"): "secret_t",
    ("/run", "dir"): "sys_run_t",
    ("/run/app", "dir"): "run_t",
    ("/run/tmpfiles.d", "dir"): "sys_run_t",
    ("/run/systemd/generator/x.service", "file"): "unit_run_t",
    ("/run/orlop/health.json", "file"): "orlop_run_t",
    ("/var/data/x", "file"): "state_t",
    ("/var/lib", "dir"): "lib_state_t",
    ("/var/lib/app", "dir"): "state_t",
    ("/var/lib/extensions", "dir"): "lib_state_t",
    ("/var/lib/orlop", "dir"): "state_t",
    ("/var/lib/orlop/machine-id", "file"): "orlop_state_t",
    ("/var/lib/orlop/update/journal", "file"): "update_state_t",
    ("/var/lib/orlop/ssh/ssh_host_ed25519_key", "file"): "secret_t",
    ("/dev/vda2", "block"): "disk_device_t",
    ("/dev/null", "char"): "pub_device_t",
    ("/dev/mem", "char"): "mem_device_t",
    ("/boot", "dir"): "boot_t",
}


def test_paths_have_the_labels_that_are_meant(ws: Workspace) -> None:
    contexts = ws.os_tree / "selinux/file_contexts"
    for (path, kind), expected in LABELS.items():
        said = sdk_run(
            ws,
            ["selabel_lookup", "-r", "-b", "file", "-f", contexts, "-k", path, "-t", str(KINDS[kind])],
            what="looking a label up",
        )
        assert f":{expected}:s0" in said, (path, said)
