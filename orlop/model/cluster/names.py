"""What programs of a cluster call things: roles, ports, files on a machine and in the operator's folder, units, keys.

One owner: orlop.node.cluster, orlop.node.agent, orlop.control, orlop.store and the command line all ask here.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum


class Role(StrEnum):
    """A server has a member of the store or waits to have one, and holds the cluster's keys; a worker holds its own."""

    SERVER = "server"
    WORKER = "worker"


SIZES = (1, 3, 5)  # members of the store: an even number tolerates no more losses than the odd one below it

# where they listen
STORE_PORT = 2379  # etcd's clients: servers only
PEER_PORT = 2380  # etcd's members among themselves
CONTROL_PORT = 7443  # the control API: every machine, people, tools

# what a machine is told, by its configuration: orlop.model.settings.cluster says what it holds
SETTINGS_PLACE = "/etc/orlop/cluster.toml"
CA_PLACE = "/etc/orlop/cluster/ca.crt"
CA_KEY_PLACE = "/etc/orlop/cluster/ca.key"  # servers only
STORE_CA_PLACE = "/etc/orlop/cluster/store-ca.crt"  # servers only
STORE_CA_KEY_PLACE = "/etc/orlop/cluster/store-ca.key"  # servers only
TOKEN_PLACE = "/etc/orlop/cluster/token"  # noqa: S105  a path; workers only
STORAGE_KEY_PLACE = "/etc/credstore/orlop.storage"  # servers that put snapshots elsewhere; systemd looks there itself

# what a machine keeps
CLUSTER_STATE = "/var/lib/orlop/cluster"  # of orlop-cluster.service: memory.json
SNAPSHOTS = f"{CLUSTER_STATE}/snapshots"  # those that it takes by itself
STORE_STATE = "/var/lib/orlop/etcd"  # of orlop-etcd.service: the data of its member
AGENT_STATE = "/var/lib/orlop/agent"  # of orlop-agent.service: machine.key, machine.crt, ca.crt

# what a machine has while it runs. The store's certificates are made anew at each boot, by who holds the store's CA
RUN = "/run/orlop/cluster"
STORE_TLS = f"{RUN}/store"  # ca.crt, member.crt, member.key: for etcd and for its clients on this machine
STORE_ENVIRONMENT = f"{RUN}/etcd.env"
RESTORING = f"{RUN}/restoring.lock"
STORE_ASKED = f"{RUN}/etcd.asked"  # one word of STORE_WORDS, for the host to act on and remove
STORE_WORDS = ("start", "restart", "anew")  # `anew`: stopped, its data removed
STATUS = f"{RUN}/status.json"
SNAPSHOT_SUFFIX = ".snapshot"  # of etcd's database, with its hash at the end
# orlop-control's own: its certificate, and a token for the agent of this server, which has no other
CONTROL_RUN = "/run/orlop/control"
CONTROL_TLS = f"{CONTROL_RUN}/tls"
SERVER_TOKEN = f"{CONTROL_RUN}/token"
AGENT_RUN = "/run/orlop/agent"
AGENT_STATUS = f"{AGENT_RUN}/status.json"
LOCK_SOCKET = f"{AGENT_RUN}/lock.sock"  # where programs of this machine ask for the cluster's reboot lock
# the agent asks the host about units (orlop.node.agent.units.host); /usr/lib/orlop/units-asked answers
UNITS_TEXTS, UNITS_ASKED = f"{AGENT_RUN}/units", f"{AGENT_RUN}/asked"
PLACED = "/run/orlop/units"  # root's: a file for each service that the cluster has placed here
PLACED_ANSWER = f"{PLACED}/.answer"
CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.crt", "member.crt", "member.key"

# who runs it
STORE_USER = "orlop-etcd"
CLUSTER_UNIT, STORE_UNIT = "orlop-cluster.service", "orlop-etcd.service"
AGENT_UNIT, CONTROL_UNIT = "orlop-agent.service", "orlop-control.service"
# what a configuration enables, by role. A unit is named here with the commit that puts it into the image
UNITS: dict[Role, tuple[str, ...]] = {
    Role.SERVER: (CLUSTER_UNIT, CONTROL_UNIT, AGENT_UNIT),
    Role.WORKER: (AGENT_UNIT,),
}

# the operator's folder, readable by its owner only
RECORD_FILE = "cluster.json"
FOLDER_KEYS = ("ca.crt", "ca.key", "store-ca.crt", "store-ca.key")
FIRST_FILE, SERVER_FILE, WORKER_FILE = "first-server.bu", "server.bu", "worker.bu"

# the store: each prefix has one writer
KEYS = "/orlop/v1/"
SIZE_KEY = f"{KEYS}cluster/size"  # text of a number of SIZES; by who forms the cluster, then by `orlop cluster size`
NAME_KEY = f"{KEYS}cluster/name"  # what it is called; by the leader's server, as the next one
ID_KEY = f"{KEYS}cluster/ca"  # SHA-256 of the cluster CA's certificate: two clusters of one name differ in it
CANDIDATES = f"{KEYS}candidates/"  # MACHINE → name of its member to be; leased, by each server that waits for room
REVOKED = f"{KEYS}tokens/revoked/"  # ID of a token → why; by control
# all below: by control
STATE = f"{KEYS}state/"  # what is decided and seldom changes: control watches it as a whole
MACHINES = f"{STATE}machines/"  # MACHINE → its record
EXPELLED = f"{STATE}expelled/"  # MACHINE → why; leased for as long as its certificate would be good
LOCK_HOLDS = f"{STATE}locks/holds/"  # MACHINE → the slot it holds; leased, kept alive with its reports
LOCK_SLOTS = f"{STATE}locks/slots/"  # GROUP → how many slots it has, when it was said
LOCK_TURN = f"{STATE}locks/turn"  # who was granted a slot last: of two that are granted at once one is too late
REPORTS = f"{KEYS}reports/"  # MACHINE → what it last said of itself
BOOTS = f"{KEYS}boots/"  # MACHINE → which of its boots reports, and which are refused: written at a boot
# units on machines (orlop.model.fleet.records says what each is, and who writes it)
UNIT_RECORDS = f"{STATE}units/"  # UNIT
WORK = f"{STATE}work/"  # MACHINE/INSTANCE
OFFERS = f"{STATE}offers/"  # MACHINE
SEEN = f"{STATE}seen/"  # MACHINE
PRESENCE = f"{STATE}presence/"  # MACHINE; leased by the server that it is connected to
LOST = f"{STATE}lost/"  # MACHINE
DRAINS = f"{STATE}drains/"  # MACHINE
LEADER = f"{STATE}leader"  # the server whose scheduler decides; leased
PEOPLE = f"{KEYS}people/"  # SHA-256 of a bearer token → whose it is, the role, when it ends; leased
AUDIT = f"{KEYS}audit/"  # TIME-… → what somebody did; leased

_APP = b"orlop-cluster"


def machine_of(machine_id: str) -> str:
    """What a machine is called in its cluster: 32 hexadecimal digits, the same at every boot. It gives nothing away of
    /etc/machine-id, from which it is made as sd_id128_get_machine_app_specific(3) does.
    """
    return hmac.new(machine_id.strip().encode(), _APP, hashlib.sha256).hexdigest()[:32]


def url(host: str, port: int) -> str:
    """An https address; IPv6 in brackets."""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
