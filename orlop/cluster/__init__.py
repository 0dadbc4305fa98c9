"""An operator's folder of a cluster: its authorities, its tokens, and the file that each kind of machine is given.

    cluster.json          what the cluster is called, when and for how many servers it was made
    ca.crt ca.key         the cluster CA: signs machines
    store-ca.crt .key     the store's CA: signs members of the store and their clients
    first-server.bu       for one machine: it makes the store
    server.bu             for every further server
    worker.bu             for every worker: a token that ends, and no key

Lifetime: from `orlop cluster new` until the cluster is given up; no machine needs it. Invariant: only its
owner can read it, and it is there whole or not at all.
"""
