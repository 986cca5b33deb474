"""The listening sockets of a port."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

from stompgate.ports.part import SetupError

from .door import House
from .tls import TlsServer

_PORT_TRIES: Final = 5
_PROBES: Final = 4


class Listener:
    """The listening sockets of a port; ``door`` makes the protocol that meets each connection.

    ``addresses`` are those that the sockets really have: port 0 has become a port, the same for all.
    """

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop, door: Callable[[], asyncio.Protocol]) -> None:
        self._house = house
        self._loop = loop
        self._door = door
        self._servers: list[asyncio.AbstractServer | TlsServer] = []
        self.addresses: list[tuple[str, int]] = []

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises ``SetupError`` saying why that is impossible: port in use, unknown host, no right to."""
        limits = self._house.limits
        bound: list[socket.socket] = []
        try:
            bound += bound_sockets(host, port)
            for listening in bound:
                keep_alive(listening, limits.silence_s)
                self._servers.append(await self._serve(listening, tls))
                self.addresses.append(listening.getsockname()[:2])
        except OSError as error:
            await self.close()
            for listening in bound:
                listening.close()
            raise SetupError(f"cannot listen on {host or '*'} port {port}: {error.strerror or error}") from error

    async def _serve(self, listening: socket.socket, tls: ssl.SSLContext | None) -> asyncio.AbstractServer | TlsServer:
        backlog = self._house.limits.backlog
        if tls is None:
            return await self._loop.create_server(self._door, sock=listening, backlog=backlog)
        server = TlsServer(self._house, self._loop, tls, self._door)
        server.open(listening, backlog)
        return server

    async def close(self) -> None:
        """Accept no more, nor any connection that was just accepted and has asked for nothing yet. Who is inside stays."""
        self._house.close()
        for server in self._servers:
            server.close()


def keep_alive(listening: socket.socket, silence_s: int) -> None:
    """Have the system notice peers that are gone without a word; accepted connections inherit this from the listening socket.

    Half of the time is silence, in the other half the peer is asked ``_PROBES`` times. What is sent and never acknowledged is
    given up after the same time (RFC 5482).
    """
    asked_every_s = max(1, silence_s // 2 // _PROBES)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, silence_s - asked_every_s * _PROBES))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, asked_every_s)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, silence_s * 1000)


def bound_sockets(host: str, port: int) -> list[socket.socket]:
    """One bound socket for every address of ``host``, all with one port. Raises ``OSError`` if there is none at all."""
    for _ in range(_PORT_TRIES if port == 0 else 1):
        try:
            return _bound_sockets(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            in_use = error  # of port 0: what is free at one address was taken at another
    raise in_use


def _bound_sockets(host: str, port: int) -> list[socket.socket]:
    families = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found: list[socket.socket] = []
    for family, kind, protocol, _, address in dict.fromkeys(families):
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((address[0], port, *address[2:]))
        except OSError as error:
            bound.close()
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and len(families) > 1:
                continue  # localhost may name an address that this machine has not
            for other in found:
                other.close()
            raise
        found.append(bound)
        port = bound.getsockname()[1]
    if not found:
        raise OSError(errno.EADDRNOTAVAIL, "none of its addresses is on this machine")
    return found
