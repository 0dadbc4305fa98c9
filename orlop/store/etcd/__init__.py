"""etcd 3.5 over its JSON gateway.

    wire      messages: requests made and answers read by typed functions, and by nothing else
    pool      connections: bounded, to one member at a time, to the next when that one is silent
    client    `EtcdStore`, a Store

etcd's own members are asked by orlop.node.cluster, which needs little and must be small.

Source of every message: etcd's API v3 (etcdserverpb/rpc.proto), as its gateway puts it into JSON.
"""
