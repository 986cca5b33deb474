"""The two ways to a server: a WebSocket, or TCP alone. Bytes go through both alike, and both end in ``ConnectionLost``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from .failures import ConnectionLost, lost_before_open, lost_by_close, lost_by_handshake
from .options import FRAME_LIMIT_BYTES, Options

SUBPROTOCOL: Final = Subprotocol("v12.stomp")
_TCP_SCHEMES: Final = ("tcp", "tls")
_TLS_SCHEMES: Final = ("tls", "wss")
_READ_BYTES: Final = 65536
_CLOSE_S: Final = 2.0  # a lost connection is closed too, and nobody should wait for an answer to that


class Way(Protocol):
    """An open connection. Both raise ``ConnectionLost`` at its end."""

    async def send(self, data: bytes) -> None:
        """Send bytes."""

    async def receive(self) -> bytes:
        """Whatever comes next."""


class WebSocketWay:
    """Over a WebSocket, each frame a binary message of its own."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        try:
            await self._socket.send(data)
        except ConnectionClosed as closed:
            raise _lost(closed) from closed

    async def receive(self) -> bytes:
        """The next WebSocket message."""
        try:
            return await self._socket.recv(decode=False)
        except ConnectionClosed as closed:
            raise _lost(closed) from closed


class TcpWay:
    """Over TCP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        if self._writer.is_closing():  # it is lost, which nobody has read yet; uvloop raises RuntimeError for it
            raise ConnectionLost("connection-lost", "The connection was cut.")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise ConnectionLost("connection-lost", str(error)) from error

    async def receive(self) -> bytes:
        """Whatever comes next."""
        try:
            data = await self._reader.read(_READ_BYTES)
        except OSError as error:
            raise ConnectionLost("connection-lost", str(error)) from error
        if not data:
            raise ConnectionLost("connection-lost", "The server has ended the connection.")
        return data


@asynccontextmanager
async def opened(url: str, options: Options) -> AsyncIterator[Way]:
    """The way to a URL: ``ws:``, ``wss:``, ``tcp:`` or ``tls:`` (STOMP over TCP has no scheme of its own)."""
    async with _tcp(url, options) if urlsplit(url).scheme in _TCP_SCHEMES else _websocket(url, options) as way:
        yield way


@asynccontextmanager
async def _websocket(url: str, options: Options) -> AsyncIterator[Way]:
    connecting = connect(
        url,
        subprotocols=[SUBPROTOCOL],
        ssl=_tls(url, options),
        compression=None,
        proxy=None,
        ping_interval=None,  # STOMP's heart-beats do that
        max_size=FRAME_LIMIT_BYTES,
        open_timeout=options.deadline_s,
        close_timeout=_CLOSE_S,
    )
    try:
        socket = await connecting
    except InvalidStatus as refused:
        raise lost_by_handshake(refused.response.status_code, bytes(refused.response.body or b"")) from refused
    except (OSError, InvalidHandshake) as error:
        raise lost_before_open(error) from error
    try:
        yield WebSocketWay(socket)
    finally:
        await _close_in_time(socket.close(), socket.transport)


@asynccontextmanager
async def _tcp(url: str, options: Options) -> AsyncIterator[Way]:
    address = urlsplit(url)
    try:
        async with asyncio.timeout(options.deadline_s):
            reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=_tls(url, options))
    except OSError as error:  # a TimeoutError is one
        raise lost_before_open(error) from error
    try:
        yield TcpWay(reader, writer)
    finally:
        writer.close()
        await _close_in_time(writer.wait_closed(), writer.transport)


async def _close_in_time(closing: Awaitable[None], transport: asyncio.WriteTransport) -> None:
    """A server that does not read would keep what waits, and whoever closes, for ever."""
    try:
        with suppress(OSError):
            async with asyncio.timeout(_CLOSE_S):
                await closing
    finally:
        transport.abort()


def _tls(url: str, options: Options) -> ssl.SSLContext | None:
    """The context of a URL with TLS: without one of the user's own, certificates are checked as the system does."""
    return (options.tls or ssl.create_default_context()) if urlsplit(url).scheme in _TLS_SCHEMES else None


def _lost(closed: ConnectionClosed) -> ConnectionLost:
    close = closed.rcvd
    return lost_by_close(close.code, close.reason) if close is not None else lost_by_close(None, "")
