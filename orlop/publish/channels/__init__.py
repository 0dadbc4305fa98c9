"""Channels: their names and keys, what is said of them, and what machines will do about it."""
