"""What runs on a machine, in the private Python of its image: `orlop.image.runtime` says what is in there.

Why apart: a machine has no package manager and no other Python, so every import here is a file in the image. Node
programs import the standard library, `store`, `trust`, `provision`, `model` and the base modules, and nothing else. The
parts are strangers to each other:

    config     what the machine is at this boot: Ignition's stages, in the initrd
    update     the other slot: the update engine
"""
