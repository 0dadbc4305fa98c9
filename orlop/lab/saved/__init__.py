"""Saved labs: the memory, the disks and the firmware variables of a lab's machines, restored in a second or two.

    record      saved.json: what a saved lab was made from                     (parsed at the border)
    store       the folders of the saved labs: found, listed, checked, removed
    keep        files linked or copied between a lab's folder and a saved one
    save        all machines stopped at one moment, kept, and let go on
    restore     the machines made again, under any lab's name
    clock       the machines' clocks, which stood still
    unfinished  the mark of a save or a restore that is under way

Why: a boot costs 40 seconds of processor time where there is no KVM, and most tests and demonstrations are not about
booting.

Lifetime: `.orlop/saved/NAME`, from `save` to `rm`; made beside and renamed, so it is whole or not there. It holds a
hard link to the image's disk and outlives both the image and the lab that it came from. A restored lab has hard links
to what was saved and, over each saved disk, a new one of its own: restoring copies no disk, a saved lab never changes,
and it may be removed while labs made from it run.

Invariant: a saved lab is restored as it was or refused with the reason: another QEMU, another definition of a machine,
another accelerator, files of other lengths. Container machines have no memory to keep: their /var is, cold.
"""
