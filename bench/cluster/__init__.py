"""A cluster of container machines: how soon it is there and gets over a loss, and what a thousand machines cost.

    scene      the figures, one after the other on one lab
    outside    a process in the network of one of the machines: the crowd, the watchers, a client of the store

Why such a process: a lab's machines are reached from this computer only by single ports, and what a thousand simulated
machines cost themselves must not be counted as what they cost the servers.
"""
