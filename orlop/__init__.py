"""Orlop: an operating system made only to run containers, and what it takes to run many machines of it."""
