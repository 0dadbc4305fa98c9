"""What the `orlop` command of a machine does about its cluster."""
