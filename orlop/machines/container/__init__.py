"""Container machines: the image's /usr and systemd under systemd-nspawn, at this computer's own speed.

    words      what nspawn, ip and slirp4netns are told                        (pure)
    cgroup     the control groups of a lab's machines                          (the rim)
    limits     what the computer must allow for many of them                    (the rim)
    network    the lab's own network namespace, a machine's links, its way out (the rim)
    supervise  the program that is a machine: its namespaces, its console, its starts
    driver     a machine made, started, ended, cut off, entered

Why: a cluster is about many machines, and a whole one costs 45 seconds of processor time to boot where there is no KVM.

What a machine is made of: `/` a new tmpfs at each start, `/usr` the image's erofs mounted read-only over a loop device
that all machines share, `/var` a folder of the machine's. What then happens is the image's own doing
(os/mkosi.extra/usr/lib/orlop/container-start): /etc from the factory and the configuration by the programs that the
initrd runs, then systemd. Lifetime: a supervisor process a machine holds its mount and network namespaces, so all its
mounts and links go with that process, however it ends; its processes are in control groups that bear the lab's key.

Invariant: nothing of a lab is left on the computer but what its folder, its control groups and its processes are, and
`down` finds each of these from the lab's name alone.

A container machine is no border for security: its root is the computer's root.
"""
