"""The disk that the system is on: its partition table as bytes, and what of it is one machine's own."""
