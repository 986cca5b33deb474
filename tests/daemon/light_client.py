"""A very light STOMP client over WebSocket, for thousands at a time: it is CONNECTED, may send, and sees its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from stompgate.stomp.frames import SERVER_COMMANDS, Frame
from stompgate.stomp.parser import Parser
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version

_UPGRADE = (
    b"GET /ws-stomp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_BINARY, _CLOSE = 0x82, 0x88
_MASKED, _NO_MASK = 0x80, bytes(4)
_AT_A_TIME = 100


class LightClient(asyncio.Protocol):
    """One connection. ``came`` is told of every frame."""

    def __init__(self, user: str, came: Callable[[LightClient, Frame], None]) -> None:
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.close_code: int | None = None
        self.closed_s = 0.0
        self._user = user
        self._came = came
        self._bytes = b""
        self._is_upgraded = False
        self._parser = Parser(commands=SERVER_COMMANDS)
        self._transport: asyncio.Transport

    def send(self, frame: Frame) -> None:
        """Send a frame, unless the server has said that it goes."""
        if self.close_code is None and not self._transport.is_closing():
            self._write(_BINARY, serialize(frame, Version.V1_2))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_UPGRADE)
        self._write(_BINARY, serialize(Frame("CONNECT", {"accept-version": "1.2", "sender": self._user}), Version.V1_2))

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        if not self._is_upgraded:
            head, end, rest = self._bytes.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._is_upgraded, self._bytes = True, rest
        while self._next_message():
            pass

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.connected.done():
            self.connected.set_exception(exc or ConnectionError("closed before CONNECTED"))
        self.ended.set_result(None)

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes((_MASKED | size,)) if size < 126 else bytes((_MASKED | 126, size >> 8, size & 0xFF))
        self._transport.write(bytes((opcode,)) + length + _NO_MASK + payload)

    def _next_message(self) -> bool:
        """Take one WebSocket message of the server, which masks none and sends short ones only here."""
        data = self._bytes
        start = 2 if len(data) < 2 or data[1] < 126 else 4
        if len(data) < start:
            return False
        size = data[1] if start == 2 else int.from_bytes(data[2:4])
        if len(data) < start + size:
            return False
        payload, self._bytes = data[start : start + size], data[start + size :]
        if data[0] == _CLOSE:
            self.close_code, self.closed_s = int.from_bytes(payload[:2]), time.monotonic()
            self._write(_CLOSE, payload[:2])
            return True
        self._parser.receive_bytes(payload)
        while (frame := self._parser.next_frame()) is not None:
            if frame.command == "CONNECTED":
                self.connected.set_result(None)
            self._came(self, frame)
        return True


async def crowd(port: int, number: int, user: str, came: Callable[[LightClient, Frame], None]) -> list[LightClient]:
    """So many clients, all of them CONNECTED."""
    loop = asyncio.get_running_loop()
    clients: list[LightClient] = []
    while len(clients) < number:
        ends = [
            loop.create_connection(lambda: LightClient(user, came), "127.0.0.1", port)
            for _ in range(min(_AT_A_TIME, number - len(clients)))
        ]
        clients += [client for _, client in await asyncio.gather(*ends)]
        await asyncio.gather(*(client.connected for client in clients[-len(ends) :]))
    return clients
