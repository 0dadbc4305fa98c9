"""Where units run, decided by one server at a time.

presence    which machines are connected to this server, told to the store with a lease
leader      who decides: whoever has the leader's key; its term, from reading all to losing the key
"""
