"""What runs on a machine, in its private Python: strangers to each other, each with one task.

    config     what the machine is at this boot: Ignition's stages, in the initrd

Only the standard library, `orlop.model` and what stands below it is imported here (a test holds the list).
"""
