"""Which versions there are for this machine, and where they come from."""
