"""Sets of machines on this computer, made of one image: a private network, names, a demo, power cuts, verdicts.

Why: one library serves the `orlop lab` commands, `make up`, the VM tests and the bench, so that what a user starts is
what the tests have proven. What runs one machine is `orlop.machines`; here are the nouns of a set of them:

    nodeconfig  what a node is given at boot, as tmpfiles.d lines              (pure)
    source      by which way a node is given its configuration                 (pure)
    identity    its addresses and its UUID                                     (pure)
    metadata/   what clouds answer at 169.254.169.254                          (pure, but for `serve`)
    plan        what somebody wants a lab to be                                (checked before anything is made)
    state       lab.json: which machines there are                             (parsed at the border)
    paths       where a lab's things are, from its name, and which programs run its machines
    images      the image that its machines are made of
    delivery    the disks and the file on the ESP that bring a configuration
    make        a lab's things made, its machines powered on for the first time
    vms, containers   from the record to a machine of a kind, and back
    machine     one node: power, network, commands
    standstill  a machine that its emulator let down
    wait        until the nodes have judged their boot
    lab         a set of nodes: up, down, list
    report      what a lab and its nodes are doing
    saved/      a lab kept with its machines' memory, and restored
    push        this repository's own files on machines that run: affected, layer
    demo        the demo container on a node
"""
