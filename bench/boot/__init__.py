"""A boot, from power-on to its container's answer, beside the peer's.

In seconds (`seconds`, with `stages` and `idle`), which what else the computer does can disturb, and in guest
instructions (`counted`), which it cannot. `peer_image` builds the machine both are compared with.
"""
