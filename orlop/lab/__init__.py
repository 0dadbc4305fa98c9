"""Whole machines on this computer: QEMU from the SDK, a private network, a serial console in a file.

Why: one library serves the `orlop lab` commands, `make up`, the VM tests and the bench, so that what a user starts is
what the tests have proven. The nouns:

    console     what a serial console says: problems, boot stage, verdict      (pure)
    nodeconfig  what a node is given at boot, as tmpfiles.d lines              (pure)
    qemu        one machine as a command line                                  (pure)
    source      by which way a node is given its configuration                 (pure)
    metadata/   what clouds answer at 169.254.169.254                          (pure, but for `serve`)
    medium      the disks and the file on the ESP that bring a configuration
    state       lab.json: which machines there are                             (parsed at the border)
    paths, pids, ports, qmp, ssh, accel, images, terminal                      (the rim: one kind of I/O each)
    machine     one node: power, network, commands
    wait        until the nodes have judged their boot
    lab         a set of nodes: up, down, list
    demo        the demo container on a node
"""
