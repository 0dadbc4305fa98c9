"""A machine's units: what it is to run, what it runs, and what it says of them.

    bus       systemd's own word on units, as it changes, over D-Bus: this program may read and do nothing else
    host      what is asked of the host, in files: orlop-units-asked.path → units-asked, which is root and is ours
    kept      what the machine is to run, on its disk: for a boot without a control plane
    worker    the loop: hear, decide (model.fleet.tasks), ask the host, tell what has become of it

Invariant: nothing that runs is stopped because this program, the network or the control plane is away; only a unit that
says WhenPartitioned=stop is.
"""
