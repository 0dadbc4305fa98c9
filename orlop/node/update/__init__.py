"""The update engine: from an index and some servers to a slot that may be booted.

    settings   what the machine's configuration says: /etc/orlop/update.toml
    keys       which root keys this machine believes: its configuration's, or the image's
    engine     asks `orlop.model.update.decide` what is next, does it, notes it
    catalog    what this machine should run, from a signed repository
    unsigned   an image that somebody names by hand, for development
    journal    what is remembered, in a file that may be cut off or damaged
    writer     the order in which slot, labels and UKI are written
    plan       which blocks are here already, which must be fetched (pure)
    fetch      blocks from servers that may lie, each checked against the index
    source     one server, over HTTP, or a folder
    verity     the dm-verity tree, read as the kernel reads it
    disk, gpt  slots in a partition table, on a block device or in a file
    esp        the UKIs
    fleetlock  the reboot lock's client

Invariant, at every moment, power cuts included: by systemd-boot's rule the machine starts a version that is whole.
Until the new one is published that is the running one, whose slot and UKI nothing here ever writes to.
"""
