"""Units on a cluster: what a unit file says, where its unit may run, where it runs best. Pure.

    globs name unitfile      fleet's own reading of patterns, names and files, byte for byte
    keys requirements        what `[X-Fleet]` may say, and what it asks of a machine
    quadlet                  files of Quadlet, and the service that each becomes
    records                  what the store has of units, work and states
    able                     may this unit run on this machine? One owner: scheduler and `explain` both ask here
    fleet schedule           all units and machines at once, and which of them should change
    tasks                    what a machine does next about its units

Source of the old meaning: fleet 1.0.0 and its go-systemd. Where that ignores what people wrote, this refuses it.
"""
