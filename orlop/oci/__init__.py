"""Container images as OCI layouts, made by our own code: same inputs, same bits, no network and no daemon.

`layer` makes the tar, `layout` puts an image together and reads one back with every digest checked, `demo` is the
image that `make up` runs.
"""
