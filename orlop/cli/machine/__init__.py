"""`orlop machine …`: the machines of a cluster."""
