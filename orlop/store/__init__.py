"""What a cluster knows: one small store of keys and values that several machines agree on.

    protocol   what a store does, in types; the errors; nothing of any implementation
    memory     the same in this process: for tests, simulations, and a control plane that is tried out alone
    etcd       the real one, over etcd's JSON gateway

Both are held to one contract suite (tests/contracts/store): who needs a store takes a `Store` and cannot tell which.
Why etcd's own client libraries are not used is in ADR 0016.
"""
