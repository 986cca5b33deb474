"""A listening socket in the file system, for programs of the same user on the same machine. Its permissions let nobody else in.

A lock on a file beside it says whether its server lives: what a killed one left is replaced, what a living one holds never.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stompgate.ports.part import SetupError

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_BACKLOG: Final = 64


class LocalSocket:
    """One such socket. ``path`` is where it lies while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._server: asyncio.AbstractServer | None = None

    async def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Listen; ``protocol`` makes what meets each connection. Raises ``SetupError`` saying why that is impossible."""
        try:
            self.path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
            self._lock = _locked(self.path.with_suffix(".lock"))
            if self.path.is_socket():  # anything else is not ours to take away
                self.path.unlink()
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                listening.bind(str(self.path))
                self.path.chmod(FILE_MODE)  # before listen, nobody can connect
            except OSError:
                listening.close()
                raise
            self._server = await asyncio.get_running_loop().create_unix_server(protocol, sock=listening, backlog=_BACKLOG)
        except OSError as error:
            self.close()
            reason = "another server lives there" if error.errno == errno.EWOULDBLOCK else error.strerror
            raise SetupError(f"cannot listen at {self.path}: {reason}") from error

    def close(self) -> None:
        """Accept no more, and leave the place. Who is inside stays. Closing again does nothing."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.path.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(file: Path) -> int:
    """The file, held open and locked. It stays when the lock is let go: another may wait for it already."""
    opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        raise
    return opened
