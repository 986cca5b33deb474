"""A listening socket for TLS, whose connections take a place at the door from the moment they are accepted.

The event loop's own servers tell nobody of a connection before its TLS handshake is over: ten thousand that never end theirs
would be ten thousand open files that no limit counts.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from stompgate.model.causes import Cause

if TYPE_CHECKING:
    from .door import House

_PER_TURN: Final = 8
"""More, of a crowd that comes at once, would hold everyone else up: each handshake takes a millisecond or two."""

_REST_S: Final = 1.0
"""How long nobody is accepted where the system had no open file, or no memory, for another connection."""


class TlsServer:
    """Accepts a few connections in a turn of the event loop. ``door`` makes what meets it when its handshake is over."""

    def __init__(
        self, house: House, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext, door: Callable[[], asyncio.Protocol]
    ) -> None:
        self._house = house
        self._loop = loop
        self._tls = tls
        self._door = door
        self._listening: socket.socket | None = None

    def open(self, listening: socket.socket, backlog: int) -> None:
        """Listen on a socket that is bound. Raises ``OSError``."""
        listening.settimeout(0)
        listening.listen(backlog)
        self._listening = listening
        self._loop.add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Accept no more."""
        listening, self._listening = self._listening, None
        if listening is not None:
            self._loop.remove_reader(listening)
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        try:
            for _ in range(_PER_TURN):
                accepted, _address = listening.accept()
                self._take_in(accepted)
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            self._loop.remove_reader(listening)
            self._loop.call_later(_REST_S, self._accept_again)

    def _take_in(self, accepted: socket.socket) -> None:
        if not self._house.may_tell_one_more:
            self._house.refused[Cause.TOO_MANY_CONNECTIONS] += 1
            accepted.close()
            return
        accepted.settimeout(0)
        arrival = _Arrival(self._house, self._door)
        arrival.handshake = self._loop.create_task(self._shake_hands(accepted, arrival), name="TLS handshake")

    def _accept_again(self) -> None:
        if self._listening is not None:
            self._loop.add_reader(self._listening, self._accept, self._listening)

    async def _shake_hands(self, accepted: socket.socket, arrival: _Arrival) -> None:
        head_s = self._house.limits.head_s
        try:
            await self._loop.connect_accepted_socket(lambda: arrival, accepted, ssl=self._tls, ssl_handshake_timeout=head_s)
        except (OSError, RuntimeError):  # RuntimeError is uvloop's word for a socket that is gone
            pass
        finally:
            arrival.stop_waiting()


class _Arrival(asyncio.Protocol):
    """A connection that waits for the end of its handshake."""

    __slots__ = ("_door", "_house", "handshake")

    handshake: asyncio.Task[None]

    def __init__(self, house: House, door: Callable[[], asyncio.Protocol]) -> None:
        self._house = house
        self._door = door
        house.at_door.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is over."""
        self.stop_waiting()
        door = self._door()
        cast(asyncio.Transport, transport).set_protocol(door)  # uvloop's own, which is no subclass of it
        door.connection_made(transport)

    def dismiss(self) -> None:
        """Break the handshake off."""
        # Soon: one accepted in this turn of the loop must have begun it, or nobody would close its socket.
        asyncio.get_running_loop().call_soon(self.handshake.cancel)

    def stop_waiting(self) -> None:
        """Give up its place, if it has one."""
        self._house.at_door.discard(self)
