"""The SDK: one Debian 13 tree with every build tool, the same on every host.

Why: a build that used the host's own mkosi, QEMU or mkfs would be another build on another host. `tree` makes the
folder, `run` starts a program inside it.
"""
