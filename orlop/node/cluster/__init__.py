"""The membership of the cluster's store, on a server: `orlop-cluster.service`, and the verb that says how it is.

    __main__ ──→ loop: look ──→ model.cluster.decide ──→ do, and write down how it is
                  etcd      what members say, through their JSON gateway
                  host      this machine: its address, what it asks of systemd
                  tls       keys and certificates, by openssl in a child
                  memory    that it was a member, and where others were: outlives boots

It has no state that matters: each turn looks anew. What is remembered only widens where it looks, and keeps a server
that was a member from making a store of its own.
"""
