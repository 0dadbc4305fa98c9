"""What a machine is, decided anew at every boot: the factory's /etc, Ignition's stages, then a seal.

Runs once, in the initrd, after `/` (a fresh tmpfs), `/usr` and `/var` are mounted below /sysroot and the factory's
/etc was copied there, and before anything of the system starts. It runs from the image's own /usr, which is laid over
the initrd's in a mount namespace of its own (orlop-config.service), so nothing of this is in the initrd.

    platforms   where this machine lives, and so where its configuration is                      (pure)
    remote      which contents a configuration takes from elsewhere, and putting them inside it  (pure)
    eachboot    what makes a configuration that was written for a first boot right at every boot (pure)
    failure     what went wrong in a stage, and what to do about it                               (pure)
    facts       what the above need to know: DMI, disks, what stands in /var                     (the rim)
    ignition    one stage of the real Ignition
    network     the network, only when a source needs it
    kept        the last good configuration, and what was done, or begun, only once
    firsts      what is done only once is on the disk before the system starts, or undone at the next boot
    finish      units, users of the image, what Ignition leaves behind; the record for `orlop node diff`
    run         all of it in order

Invariants: what a configuration says is there whole, or the boot stops and the console says why. Data under /var that
the configuration does not name is never touched. The same configuration gives the same /etc, byte for byte.
"""
