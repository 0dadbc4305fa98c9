"""`orlop unit …`: units on the machines of a cluster."""
