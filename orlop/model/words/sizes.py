"""How large a configuration may be: the same for who checks one, who simulates one, and the machine."""

CONFIG_BYTES = 64_000_000  # the configuration itself, with what is inside it: it is held in memory
CONTENTS_BYTES = 1_000_000_000  # all that it takes from elsewhere: it is kept in /var
