"""A cluster, as values: what it is called, who is in it, what they hold, and what happens to its members next.

Everything that two programs must agree on about a cluster stands here once: names.py (files, ports, units, keys of the
store), token.py (what a worker joins with), certificates.py (who gets which, and when anew), member.py and decide.py
(the membership of the store). Pure. ADR 0014 says why it has this shape.
"""
