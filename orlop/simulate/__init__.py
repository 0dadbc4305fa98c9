"""What a machine would be: the real Ignition run on a scratch root, and its result read as values.

    run         the whole way; start here
    base        the image's /usr, unpacked once for each image
    sandbox     the command line that shuts the run in; inside.sh: what runs there; version: a systemd to ask
    plan        what is kept from the run: disks, and what would be fetched
    snapshot    a tar archive of a root as values; accounts, units: what they mean
    machine     the result; changes: what differs between two roots
    trouble     what Ignition said, as an error with the config's own line
    show        a result as text and as JSON

Lifetime: one call of `simulate` a config; the scratch root is in memory, in a mount namespace that ends with the run.
Invariant: no disk, no file outside the run's own folder, and without `fetch` no network can be reached.
Only `base`, `run` and `version` do I/O; the rest are functions of values.
"""
