"""The control plane: the one API through which machines, people and tools act on a cluster.

    records    machines in the store: read, joined, cordoned, expelled, each change with its audit entry
    locks      the reboot lock: who may reboot now, as model/cluster/lock decides
    signing    certificates, by openssl in a child
    hub        one watch on the store, and everybody who listens to it
    callers    who asks: a machine or a person by certificate, a person by bearer token
    provider   people's tokens of an OpenID Connect provider
    api/       routes on Starlette; every right is asked of model/cluster/access
    listing    a page of machines
    connections  how many there are, and who is at the other end
    serve      uvicorn with mutual TLS, certificates that change while it runs, streams that end in time

Lifetime: a process on each server, any number at a time. Invariant: it remembers nothing that is not in the store, so
one that dies is replaced by any other; machines go on with what they have when all are gone.
"""
