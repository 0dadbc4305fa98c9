"""How others speak to the engine: its server on a Unix socket, and the commands that ask it."""

from pathlib import Path

SOCKET = Path("/run/orlop/update.sock")
