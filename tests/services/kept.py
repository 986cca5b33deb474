"""What a server keeps over its restarts beside its data: its ports and its password, one file each in its folder."""

from __future__ import annotations

import random
import secrets
import socket
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL_FIRST = 32768
_LOWEST = 15000
_TRIES = 200


def kept_port(folder: Path, name: str = "port") -> int:
    """The port of this name; the first time a free one is chosen, and it stays the folder's."""
    file = folder / name
    if not file.exists():
        file.write_text(f"{_free_port()}\n")
    return int(file.read_text())


def kept_secret(folder: Path, name: str = "password") -> str:
    """The password of this name; the first time one is made."""
    file = folder / name
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(f"{secrets.token_hex(8)}\n")
    return file.read_text().strip()


def _free_port() -> int:
    """A free port below those that the kernel gives to outgoing connections.

    While a server is down, one of these could take its port, or a client that asks for it again and again be given that very
    port and be connected with itself.
    """
    first = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else _USUAL_EPHEMERAL_FIRST
    for port in random.sample(range(_LOWEST, max(first, _LOWEST + _TRIES)), _TRIES):
        if _is_held(port):
            return port
    raise RuntimeError(f"no free port in {_TRIES} tries between {_LOWEST} and {first}")


def _is_held(port: int) -> bool:
    """Hold a free port for this process, which a server of ours may still take (SO_REUSEADDR), and nobody else finds free."""
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        holder.close()
        return False
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.detach()  # until the process ends
    return True
