"""What a machine would be: the real Ignition run on a scratch root, and its result read as values.

    run         the whole way; start here
    sandbox     the command line that shuts the run in; inside.sh: what runs there
    plan        what is kept from the run: disks, and what would be fetched
    snapshot    a tar archive of a root as values; accounts, units, unitfiles: what they mean
    machine     the result; changes: what differs between two roots
    doubts      what a machine takes and does not do; verified: systemd's and podman's own words on it
    trouble     what Ignition said, as an error with the config's own line
    show        a result as text and as JSON

Lifetime: one call of `simulate` a config; the scratch root is in memory, in a mount namespace that ends with the run.
Invariant: no disk, no file outside the run's own folder, and without `fetch` no network can be reached.
Only `run` and reading a snapshot do I/O; the rest are functions of values. What a machine decides is decided here
by the machine's own code (orlop.node.config): rules for disks and files, time to stop, a systemd to ask.
"""
