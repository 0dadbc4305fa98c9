"""The signed repository that machines are updated from, kept by whoever publishes an operating system.

    storage                  where it is: a folder that any web server can serve
    keys                     the keys that sign it, and how they are kept
    repository               its metadata: load it verified, change it in one step
    edits  preview           what a release manager can say, pure; and what machines will do about it
    publish  patches         an image becomes blobs, an index, patches
    sbom  packages           what is in it, and what changed
    ceremony                 a new root, signed on separate machines
    audit  gc  serve         an outsider's check; what nothing refers to; a server to try it with

Invariant: at every moment, whatever is interrupted, what is in the storage is a repository that machines accept. Files
are immutable and named by version or hash, all but `timestamp.json`, and that is written last.
"""
