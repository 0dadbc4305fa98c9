"""The table: what other systems' files, units, programs and habits mean on this one.

`here` and `write` are sentences without a full stop that go into warnings, after the name of what was found, and onto
the page.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Foreign:
    """`files`: patterns of paths, in which `*` goes over slashes; `units`: of names of units; `programs`: names of
    programs that a unit may start; `at`: where else it is met. `here`: what becomes of it. `write`: what to write
    instead. `honoured`: it is translated, and `write` is for the part that has no exact meaning here.
    """

    name: str
    here: str
    write: str
    files: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    at: str = ""
    honoured: bool = False


UPDATE_CONF = Foreign(
    "Flatcar's update settings and locksmith",
    "`REBOOT_STRATEGY`, `SERVER=disabled` and the reboot window of locksmith become `update.strategy` and "
    "`update.window`; what has no exact meaning here makes the strategy `off`",
    "write `update:` in a config of the variant orlop, or a file /etc/orlop/update.toml",
    files=("/etc/flatcar/update.conf", "/etc/coreos/update.conf"),
    honoured=True,
)
ZINCATI = Foreign(
    "Zincati's settings",
    "`updates` becomes `update.strategy`, `update.window` and `update.lock`; what has no exact meaning here makes the "
    "strategy `off`",
    UPDATE_CONF.write,
    files=("/etc/zincati/config.d/*.toml",),
    honoured=True,
)
UPDATERS = Foreign(
    "services that update or reboot",
    "masked or disabled, they become the strategy `off`; enabled they mean nothing, because a machine updates itself "
    "when `update.urls` says where from",
    UPDATE_CONF.write,
    units=("update-engine.service", "locksmithd.service", "zincati.service", "rpm-ostreed-automatic.timer"),
    honoured=True,
)
KEYFILES = Foreign(
    "NetworkManager's keyfiles",
    "an Ethernet connection with addresses by hand or by DHCP becomes a file in /etc/systemd/network",
    "write a file /etc/systemd/network/NAME.network, see systemd.network(5)",
    files=("/etc/NetworkManager/system-connections/*",),
    honoured=True,
)
NETWORK = Foreign(
    "other ways to set up a network",
    "the network is systemd-networkd's, and nothing reads this",
    KEYFILES.write,
    files=(
        "/etc/NetworkManager/*",
        "/etc/sysconfig/network-scripts/*",
        "/etc/sysconfig/network",
        "/etc/netplan/*",
        "/etc/network/*",
        "/etc/dhcpcd.conf",
    ),
    units=("NetworkManager*.service", "networking.service", "dhcpcd.service", "nm-*.service"),
    programs=("nmcli", "ifup", "ifconfig"),
)
CHRONY = Foreign(
    "chrony's time servers",
    "`server` and `pool` become servers of systemd-timesyncd",
    "write `NTP=` in a file /etc/systemd/timesyncd.conf.d/NAME.conf, see timesyncd.conf(5)",
    files=(
        "/etc/chrony.conf",
        "/etc/chrony/chrony.conf",
        "/etc/chrony/sources.d/*.sources",
        "/etc/chrony/conf.d/*.conf",
        "/etc/chrony.d/*.conf",
    ),
    honoured=True,
)
CLOCK = Foreign(
    "other programs that set the clock",
    "the clock is systemd-timesyncd's, and nothing reads this",
    CHRONY.write,
    files=("/etc/chrony*", "/etc/ntp.conf", "/etc/ntpsec/*", "/etc/openntpd/*"),
    units=("chronyd.service", "chrony.service", "chrony-wait.service", "ntpd.service", "ntp.service", "ntpsec.service"),
    programs=("chronyc", "ntpdate"),
)
ANCHORS = Foreign(
    "certificates of authorities",
    "they are added to /etc/ssl/certs/ca-certificates.crt, which podman and this system read",
    "give each as PEM, or append it to /etc/ssl/certs/ca-certificates.crt",
    files=(
        "/etc/pki/ca-trust/source/anchors/*",
        "/etc/ca-certificates/trust-source/anchors/*",
        "/etc/ssl/certs/*.pem",
        "/etc/ssl/certs/*.crt",
    ),
    honoured=True,
)
TRUST_STORE = Foreign(
    "programs that gather certificates",
    "there is no such program, and none is needed: certificates are added to the bundle when a config is translated",
    "leave it out; put each certificate below /etc/pki/ca-trust/source/anchors or at /etc/ssl/certs/NAME.pem",
    files=("/etc/pki/*", "/usr/local/share/ca-certificates/*"),
    units=("update-ca-certificates.service", "coreos-update-ca-trust.service"),
    programs=("update-ca-trust", "update-ca-certificates", "trust"),
)
SUDO = Foreign(
    "sudo",
    "there is no sudo, and no program that may change its user",
    "give `root` an SSH key under `passwd.users`, or let a unit do what needs root",
    files=("/etc/sudoers", "/etc/sudoers.d/*", "/etc/doas.conf"),
    programs=("sudo", "doas", "su"),
)
GETTY = Foreign(
    "getty and autologin",
    "nobody logs in at a console: there is no getty and no login",
    "log in by SSH: `systemd: {units: [{name: ssh.socket, enabled: true}]}` and a key under `passwd.users`",
    units=("getty@*", "serial-getty@*", "console-getty.service", "container-getty@*", "autovt@*", "getty.target"),
    programs=("agetty", "login"),
)
DOCKER = Foreign(
    "Docker",
    "there is no docker and no containerd: podman runs the containers",
    "write a Quadlet file /etc/containers/systemd/NAME.container; for Docker's API enable podman.socket",
    files=("/etc/docker/*", "/etc/containerd/*"),
    units=("docker.service", "docker.socket", "containerd.service", "docker-*.service"),
    programs=("docker", "docker-compose", "dockerd", "containerd", "ctr"),
)
SYSEXT = Foreign(
    "system extensions",
    "/usr is one image that is checked block by block, and nothing is laid over it",
    "run it in a container, or put a program that needs no libraries at /opt/bin",
    files=(
        "/etc/extensions/*",
        "/opt/extensions/*",
        "/var/lib/extensions/*",
        "/var/lib/confexts/*",
        "/etc/sysupdate.d/*",
        "/etc/sysupdate.*.d/*",
        "/etc/flatcar/enabled-sysext.conf",
        "/etc/flatcar/oem-sysext/*",
    ),
    units=("systemd-sysext.service", "systemd-confext.service", "systemd-sysupdate*", "ensure-sysext.service"),
    programs=("systemd-sysext", "systemd-sysupdate"),
)
ROOTLESS = Foreign(
    "rootless Quadlet files, units of users, and linger",
    "users have no service manager, so nothing starts this",
    "put the Quadlet file at /etc/containers/systemd/NAME.container; `UserNS=auto` makes its root nobody here",
    files=(
        "/etc/containers/systemd/users/*",
        "/home/*/.config/containers/systemd/*",
        "/var/home/*/.config/containers/systemd/*",
        "/home/*/.config/systemd/user/*",
        "/var/home/*/.config/systemd/user/*",
        "/etc/systemd/user/*",
        "/var/lib/systemd/linger/*",
    ),
    units=("user@*.service", "user-runtime-dir@*.service"),
)
PACKAGES = Foreign(
    "packages",
    "there is no package manager: the system is one image",
    "run it in a container, or add it to an image of your own (docs/guide/image.md)",
    files=("/etc/yum.repos.d/*", "/etc/rpm-ostreed.conf", "/etc/apt/*", "/etc/dnf/*"),
    units=("rpm-ostree*", "rpm-ostreed*", "apt-daily*", "dnf-*", "packagekit*"),
    programs=("rpm-ostree", "dnf", "yum", "apt", "apt-get", "rpm", "dpkg", "toolbox", "bootc"),
)
CRON = Foreign(
    "cron",
    "there is no cron",
    "write a unit NAME.timer and the NAME.service that it starts, see systemd.timer(5)",
    files=("/etc/cron*", "/etc/anacrontab", "/var/spool/cron/*"),
    units=("crond.service", "cron.service", "anacron*"),
    programs=("crontab",),
)
FIREWALL = Foreign(
    "firewalld and iptables",
    "there is no firewalld and no iptables",
    "write the rules to /etc/nftables.conf and enable nftables.service",
    files=("/etc/firewalld/*", "/etc/sysconfig/ip*tables", "/etc/iptables/*", "/var/lib/ip*tables/*", "/etc/ufw/*"),
    units=("firewalld.service", "iptables*.service", "ip6tables*.service", "ufw.service"),
    programs=("firewall-cmd", "iptables", "ip6tables", "iptables-restore", "ufw"),
)
ZRAM = Foreign(
    "zram-generator",
    "there is no zram-generator",
    "make swap with `storage.filesystems` and `format: swap`, or write a unit that sets up /dev/zram0",
    files=("/etc/systemd/zram-generator.conf", "/etc/systemd/zram-generator.conf.d/*"),
    units=("systemd-zram-setup@*",),
)
AUTO_UPDATE = Foreign(
    "podman's timer for newer images",
    "the image has no such timer, so containers stay at the image they have",
    "write a podman-auto-update.service, `ExecStart=/usr/bin/podman auto-update`, and its timer of the same name",
    units=("podman-auto-update.timer", "podman-auto-update.service"),
    at="`AutoUpdate=` of a Quadlet file",
)
SSHD = Foreign(
    "the SSH server's units by other names",
    "the SSH server is started by ssh.socket here, when the configuration enables it",
    "name it ssh.socket: `systemd: {units: [{name: ssh.socket, enabled: true}]}`",
    units=("sshd.socket", "sshd.service", "sshd-unix-local.socket"),
)
AGENTS = Foreign(
    "agents of clouds and first boots",
    "there is no such agent; a machine's configuration is all that sets it up",
    "write what it would do: SSH keys under `passwd.users`, the name as `hostname` or /etc/hostname",
    files=("/etc/cloud/*", "/etc/waagent.conf"),
    units=(
        "afterburn*",
        "coreos-metadata*",
        "coreos-ignition-*",
        "flatcar-metadata*",
        "cloud-init*",
        "cloud-config*",
        "waagent.service",
    ),
    programs=("afterburn", "coreos-metadata", "cloud-init"),
)
OLD_CLUSTER = Foreign(
    "etcd and flannel of the system's own",
    "the image has no such service",
    "run it in a container: a Quadlet file /etc/containers/systemd/NAME.container",
    units=("etcd-member.service", "etcd2.service", "etcd.service", "flanneld.service", "flannel-docker-opts.service"),
)
SCRIPTS = Foreign(
    "scripts of other systems' start",
    "nothing reads it",
    "write a unit of the type oneshot",
    files=("/etc/rc.local", "/etc/rc.d/*", "/etc/init.d/*"),
    units=("rc-local.service",),
)
LOGROTATE = Foreign(
    "logrotate and syslog",
    "there is no logrotate and no syslog: logs are in the journal, which keeps its own bounds",
    "let the program log to its standard output; see journald.conf(5)",
    files=("/etc/logrotate.d/*", "/etc/logrotate.conf", "/etc/rsyslog.d/*", "/etc/rsyslog.conf"),
    units=("logrotate.timer", "logrotate.service", "rsyslog.service"),
    programs=("logrotate",),
)

SSH_KEYS = Foreign(
    "SSH keys without SSH",
    "there are SSH keys, and nothing listens for SSH unless the configuration enables it",
    "add `systemd: {units: [{name: ssh.socket, enabled: true}]}`",
    at="`passwd.users[].ssh_authorized_keys`",
)
PASSWORD = Foreign(
    "passwords",
    "nobody can log in with a password: SSH takes keys only, and there is no login at a console",
    "give `ssh_authorized_keys`; leave the password out",
    at="`passwd.users[].password_hash`",
)
DOCKER_GROUP = Foreign(
    "Docker's group",
    "there is no group docker in the image, and a user in a group that does not exist stops the boot",
    "leave it out: podman has no such group; root runs the containers",
    at="`passwd.users[].groups: [docker]`",
)
ADMIN_GROUPS = Foreign(
    "groups of administrators",
    "the group gives no rights: there is no sudo",
    "leave it out; give `root` an SSH key under `passwd.users`",
    at="`passwd.users[].groups: [sudo, wheel]`",
)
DATA = Foreign(
    "data outside /var",
    "what is written there is gone after the next boot: / is a fresh tmpfs, and only /var stays",
    "put it below /var, for example /var/lib/NAME",
    at="`storage.directories[].path`, `Volume=`, `podman run -v`",
)
READ_ONLY = Foreign(
    "files below /usr",
    "/usr is read-only, and the boot stops where the configuration wants to write there",
    "put it below /etc or /opt, for example /opt/bin/NAME, and name that path where it is started",
    at="`storage.files[].path: /usr/local/bin/…`",
)
FIRST_BOOT = Foreign(
    "ConditionFirstBoot=",
    "the condition is never met: a machine's id stays in /var, so systemd sees no first boot",
    "write `ConditionPathExists=!/var/lib/NAME.done`, and let the unit make that file when it is done",
    at="`ConditionFirstBoot=` of a unit",
)
REMOTE_FS = Foreign(
    "remote-fs.target",
    "nothing starts this target, and so nothing that only it wants",
    "add `systemd: {units: [{name: remote-fs.target, enabled: true}]}`, or use `WantedBy=multi-user.target`",
    at="`WantedBy=remote-fs.target`",
)
CLEVIS = Foreign(
    "clevis, tang and TPM for volumes",
    "clevis is not in the image, and the boot stops at a volume that asks for it",
    "give the volume a `key_file`, or nothing: then the machine makes a key of its own",
    at="`storage.luks[].clevis`",
)
KERNEL_ARGUMENTS = Foreign(
    "kernel arguments",
    "the command line is signed with the image and cannot be changed: the boot stops where it is another",
    "leave them out; write a sysctl to /etc/sysctl.d, or build an image with other arguments (docs/guide/image.md)",
    at="`kernel_arguments`",
)

TABLE = (
    *(UPDATE_CONF, ZINCATI, UPDATERS, KEYFILES, NETWORK, CHRONY, CLOCK, ANCHORS, TRUST_STORE, SSH_KEYS, SSHD, PASSWORD),
    *(SUDO, ADMIN_GROUPS, GETTY, DOCKER, DOCKER_GROUP, ROOTLESS, AUTO_UPDATE, SYSEXT, PACKAGES, DATA, READ_ONLY),
    *(FIRST_BOOT, REMOTE_FS, CLEVIS, KERNEL_ARGUMENTS, FIREWALL, CRON, ZRAM, AGENTS, OLD_CLUSTER, SCRIPTS, LOGROTATE),
)


def of_file(path: str) -> Foreign | None:
    """The entry for a file, link or folder at the path; the first of the table that has it."""
    return next((entry for entry in TABLE if any(fits(path, pattern) for pattern in entry.files)), None)


def of_unit(name: str) -> Foreign | None:
    """The entry for a unit that is of another system, by its name."""
    return next((entry for entry in TABLE if any(fits(name, pattern) for pattern in entry.units)), None)


def of_program(name: str) -> Foreign | None:
    """The entry for a program, by its name without folders."""
    return next((entry for entry in TABLE if name in entry.programs), None)


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern fits. `*` is anything, slashes too; compiling a hundred patterns takes longer than this."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    last = rest.pop()
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in rest:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
