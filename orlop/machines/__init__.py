"""Machines on this computer: whole ones, emulated by QEMU, and containers of the same image, as a library.

Why: the lab is not the only one that runs machines, and none of this needs to know what a lab is. A machine is a value,
its things are where a value says, and the programs that run it are given as one.

    tools       the programs that all of this is run by
    paths       where one machine's things are
    kind        whole machine or container
    qemu        a whole machine as a command line                              (pure)
    definition  what a whole machine is, apart from where it is                (pure)
    console     what a serial console says: problems, boot stage, verdict      (pure)
    vm          a whole machine made, started, its links plugged
    container/  a container machine made, started, ended, cut off, entered
    switch      the private network of a set of machines
    medium      disks of files, files on an ESP
    memory      the memory of whole machines to a file and back
    counter     the instructions of a machine whose clock counts them
    ssh, reach  commands on a machine
    accel, pids, ports, qmp, terminal                                          (the rim: one kind of I/O each)

Machines that share a private network are called a lab here too; which there are is for its keeper to know.

Lifetime: a machine outlives who started it, and that one remembers its process. Invariant: nothing here keeps a record
of machines or reads a workspace.
"""
