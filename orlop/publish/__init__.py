"""The signed repository that machines are updated from, kept by whoever publishes an operating system.

    storage      where it is: a folder that any web server can serve, or object storage
    keys         the keys that sign it, and how they are kept
    repository   its metadata: load it verified, change it in one step; an outsider's check; what nothing refers to
    channels     what a release manager can say, pure; and what machines will do about it
    roots        a new root, signed on separate machines, and new keys with it
    content      an image becomes blobs, an index, patches; what is in it, what changed, and blobs mended from it
    serve        a server to try it with

Each is built on those above it and knows nothing of those below.

Invariant: at every moment, whatever is interrupted, what is in the storage is a repository that machines accept. Files
are immutable and named by version or hash, all but `timestamp.json`, and that is written last.
"""
