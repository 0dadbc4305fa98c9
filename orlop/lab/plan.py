"""What somebody wants a lab to be, checked before anything is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from orlop.errors import BadInput
from orlop.lab.cluster import LabCluster
from orlop.lab.conditions import Conditions
from orlop.lab.images import LabImage
from orlop.lab.nodeconfig import NodeConfig
from orlop.lab.paths import DEFAULT_LAB
from orlop.lab.source import Given, Way, check_container_source
from orlop.machines.kind import MachineKind
from orlop.machines.ports import Forward

MAX_NODES = 32
MAX_DATA_DISKS = 8
MAX_CPUS = 64


@dataclass(frozen=True)
class LabPlan:
    """What to bring up. `containers`: how many of the nodes, the last ones, are container machines. `publish` holds for
    n1; each further node gets the host ports counted up by one. `given`: the user's configuration, one for all nodes or
    one for each. `data_disks_mib`: further disks, empty, a node. `conditions`: of all nodes. `is_counted`: its clock
    counts its instructions (orlop/lab/counted). `cluster`: what the machines form, each given what it is in it.
    """

    image: LabImage
    name: str = DEFAULT_LAB
    nodes: int = 1
    containers: int = 0
    cpus: int = 2
    memory_mib: int = 2048
    disk_gib: int = 12
    publish: tuple[Forward, ...] = ()
    demo: bool = False
    config: NodeConfig = field(default_factory=NodeConfig)
    given: tuple[Given, ...] = ()
    data_disks_mib: tuple[int, ...] = ()
    is_counted: bool = False
    cluster: LabCluster | None = None
    conditions: Conditions = field(default_factory=Conditions)

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MAX_NODES:
            raise BadInput(f"--nodes {self.nodes} is not possible", hint=f"give 1 to {MAX_NODES}")
        if not 1 <= self.cpus <= MAX_CPUS:
            raise BadInput(f"--cpus {self.cpus} is not possible", hint=f"give 1 to {MAX_CPUS}")
        if not 256 <= self.memory_mib <= 1 << 20:
            raise BadInput(f"--memory {self.memory_mib} is not possible", hint="give MiB, for example 2048")
        if not 4 <= self.disk_gib <= 4096:
            raise BadInput(f"--disk {self.disk_gib} is not possible", hint="give GiB, 4 to 4096")
        if len(self.given) not in {0, 1, self.nodes}:
            raise BadInput(f"{len(self.given)} configurations for {self.nodes} nodes", hint="give one, or one a node")
        if len(self.data_disks_mib) > MAX_DATA_DISKS or any(not 16 <= mib <= 4 << 20 for mib in self.data_disks_mib):
            raise BadInput(
                f"--data-disk {' '.join(map(str, self.data_disks_mib))} is not possible",
                hint=f"give MiB, 16 or more, for at most {MAX_DATA_DISKS} disks",
            )
        self._check_containers()
        if self.is_counted and (self.cpus != 1 or self.containers):
            raise BadInput(
                "a lab whose instructions are counted has whole machines of one processor",
                hint="leave the container machines out, and give one CPU",
            )
        self._check_conditions()
        guests = [22, *(f.guest for f in self.publish)]
        hosts = [f.host + i for f in self.publish if f.host for i in range(self.nodes)]
        if len(set(guests)) != len(guests) or len(set(hosts)) != len(hosts) or max(hosts, default=0) > 65535:
            raise BadInput(
                "--publish names a port twice, the node's SSH port 22, or one above 65535",
                hint="each HOST:GUEST needs its own ports; node k takes HOST+k-1",
            )

    def _check_containers(self) -> None:
        if not 0 <= self.containers <= self.nodes:
            raise BadInput(f"{self.containers} container machines of {self.nodes}", hint="not more than all of them")
        if self.containers and self.data_disks_mib:
            raise BadInput(
                "--data-disk is for whole machines: a container machine has the kernel, and the disks, of its computer",
                hint="leave it out, or take `--kind vm`",
            )
        for number in range(self.nodes - self.containers + 1, self.nodes + 1):
            if given := self.given_to(number):
                check_container_source(given.source)

    def _check_conditions(self) -> None:
        self.conditions.check(len(self.data_disks_mib))
        if self.containers:
            self.conditions.check_containers()
        is_asked = any(given.source.has_service or given.source.way is Way.URL for given in self.given)
        if is_asked and not self.conditions.has_ipv4:
            raise BadInput(
                "a machine that reaches nothing over IPv4 cannot fetch its configuration from the lab",
                hint="leave --config-source out: the configuration is given without a network then",
            )

    def kind_of(self, index: int) -> MachineKind:
        """What node `index`, from 1, is."""
        return MachineKind.CONTAINER if index > self.nodes - self.containers else MachineKind.VM

    def given_to(self, index: int) -> Given | None:
        """What node `index`, from 1, is given."""
        return self.given[(index - 1) % len(self.given)] if self.given else None
