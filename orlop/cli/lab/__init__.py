"""`orlop lab`: machines on this computer."""
