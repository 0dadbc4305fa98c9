"""Faithful stand-ins for what a test cannot have: a disk whose power fails, a FAT volume, a server that lies."""
