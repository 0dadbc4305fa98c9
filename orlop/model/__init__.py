"""Nouns and their rules. No I/O: values in, values out."""
