"""A factory reset: asking for it on the running machine, and doing it at its next boot."""
