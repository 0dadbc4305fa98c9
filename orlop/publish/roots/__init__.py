"""Roots: which keys speak for a repository, agreed on by people who never meet; new keys for old."""
