"""The bytes of an update: which blocks are here already, and the others from servers that may lie."""
