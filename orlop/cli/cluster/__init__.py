"""`orlop cluster`: a cluster of machines."""
