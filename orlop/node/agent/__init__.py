"""`orlop-agent`: what makes a machine one of its cluster.

    keys      the machine's key and its certificate, on its disk
    control   the control API at whichever server answers, and how its CA is known before there is a certificate
    facts     how this machine is, in a report
    lock      the reboot lock of the cluster, for the update engine and for people on this machine
    loop      join, report, renew; listen meanwhile

Lifetime: the machine's. Invariants: it loses its identity only by a decision of people (expelled, reset), never because
somebody was away; nothing on the machine waits for it; it asks for little and at moments of its own.
"""
