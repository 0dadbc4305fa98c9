"""What a running machine differs by, taken from its files: `orlop node diff`."""
