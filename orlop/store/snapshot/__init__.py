"""A snapshot of etcd as a file: read, checked, and made into the data of the first member of a new cluster.

    bolt      the file's pages: bbolt's B+ trees, read, and written anew from the leaves up
    contents  what a snapshot holds: whose it is, its revision, how many keys
    log       a write-ahead log and a raft snapshot, as the first start of a member leaves them
    data      all of it put together: the folder that etcd starts with

Why our own, where etcd has `etcdutl`: it is 8 MB in the image, for what a cluster does once in its life if ever, and
says nothing about whose snapshot a file is. What comes of it is compared with what etcdutl makes of the same file,
byte by byte where that is possible, and a real etcd starts with it (tests/contracts/store/test_snapshot.py).

Source: etcd 3.5 (etcdutl/snapshot, server/storage/wal, server/etcdserver/api/snap, server/mvcc) and bbolt 1.3.
"""
