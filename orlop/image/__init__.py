"""The image: from Debian packages and `os/` to a disk that boots.

    packages   mkosi installs them into a tree, with the files of os/mkosi.extra            (tree)
    prune      what os/prune does not keep goes, with the libraries nothing needs any more   (prune, elf)
    zones      the time zones that configurations may name are there                         (zones)
    factory    /etc becomes /usr/share/factory/etc; os-release says what this is             (factory)
    initrd     the few programs and modules that find /usr and make /var                     (initrd)
    contents   which component each file is from; the licences' texts                        (contents)
    seal       erofs of /usr, its verity tree, the UKI that carries the root hash            (seal)
    disk       a GPT with the ESP, slot A, an empty slot B                                   (seal)

Invariant: same inputs, same bits. Every time stamp is the version's day, every seed follows from the version, every
list is sorted. A version's folder under `.orlop/images` appears whole, by one rename.
"""
