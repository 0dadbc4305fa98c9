"""The disk of an update: partitions, slots, the ESP, and the order of writing them."""
