"""Redis that keeps nothing on disk: what it knows ends with its process."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.requirements import find_program

from .kept import kept_port
from .service import NotInstalled

_ANSWER_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Redis:
    """A Redis in a folder."""

    name: ClassVar[str] = "Redis"
    folder: Path

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return kept_port(self.folder)

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """It needs nothing but its program."""
        _program()

    def command(self) -> list[str]:
        """The server in the foreground."""
        return [_program(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]

    def is_ready(self, log: str) -> bool:
        """It answers PING."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), _ANSWER_TIMEOUT_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _program() -> str:
    found = find_program("redis-server")
    if found is None:
        raise NotInstalled("redis-server is not installed; on Debian the package redis-server brings it")
    return found
