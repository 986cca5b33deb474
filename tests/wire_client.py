"""A raw STOMP client over WebSocket or TCP, for tests that look at the wire. It sends what it is told to, right or wrong.

Every wait has a deadline. Frames are handed out in the order they came; ``receipt`` sets aside what comes before it.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.typing import Subprotocol

from stompgate.stomp.frames import SERVER_COMMANDS, Frame
from stompgate.stomp.parser import Limits, Parser
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version

DEADLINE_S = 30.0
_NO_LIMITS = Limits(frame_bytes=32 * 1024 * 1024, header_line_bytes=1024 * 1024, headers=1000)
SUBPROTOCOLS = [Subprotocol(f"v{version}.stomp") for version in ("12", "11", "10")]


@dataclass(frozen=True)
class Received:
    """A frame, and whether it came as text."""

    frame: Frame
    is_text: bool


class Way(Protocol):
    """What is no WebSocket, and has its two doors."""

    async def send(self, piece: str | bytes, /) -> None:
        """Send a piece."""

    async def recv(self) -> str | bytes:
        """The next piece. Raises ``ConnectionClosed`` at the end."""

    def abort(self) -> None:
        """Drop it without a word."""


class WireClient:
    """One connection. ``version`` is what frames are written and read by; ``connect`` sets it."""

    def __init__(self, way: ClientConnection | Way) -> None:
        self._way = way
        self.version = Version.V1_2
        self.heart_beats = 0
        self._parser = Parser(_NO_LIMITS, SERVER_COMMANDS)
        self._came: deque[Received] = deque()
        self._numbers = count(1)

    @property
    def socket(self) -> ClientConnection:
        """The WebSocket, of a client that has one."""
        assert isinstance(self._way, ClientConnection)
        return self._way

    @property
    def tcp(self) -> TcpWay:
        """The TCP connection, of a client that has nothing over it."""
        assert isinstance(self._way, TcpWay)
        return self._way

    def abort(self) -> None:
        """Drop the connection without a word."""
        (self._way.transport if isinstance(self._way, ClientConnection) else self._way).abort()

    # What it sends

    async def write(self, *pieces: str | bytes) -> None:
        """Send pieces as they are, each a WebSocket message of its own where there are such."""
        async with asyncio.timeout(DEADLINE_S):
            for piece in pieces:
                await self._way.send(piece)

    async def send_frames(self, *frames: Frame) -> None:
        """Send frames together in one piece."""
        await self.write(b"".join(serialize(frame, self.version) for frame in frames))

    async def connect(self, user: str | None = "user", version: str = "1.2", **headers: str) -> Frame:
        """Send CONNECT; return CONNECTED. Underscores in names stand for hyphens."""
        named = {
            "accept-version": version,
            "host": "test",
            **({"sender": user} if user is not None else {}),
            **named_by(headers),
        }
        await self.send_frames(Frame("CONNECT", named))
        connected = await self.expect("CONNECTED")
        self.version = self._parser.version = Version(connected.headers["version"])
        return connected

    async def subscribe(self, destination: str, subscription_id: str = "s", **headers: str) -> Frame:
        """SUBSCRIBE with a receipt; return the RECEIPT."""
        named = {"destination": destination, "id": subscription_id, **named_by(headers)}
        return await self.ask(Frame("SUBSCRIBE", named))

    async def send(self, destination: str, body: str | bytes, **headers: str) -> Frame:
        """SEND with a receipt; return the RECEIPT."""
        data = body.encode() if isinstance(body, str) else body
        return await self.ask(Frame("SEND", {"destination": destination, **named_by(headers)}, data))

    async def ask(self, frame: Frame) -> Frame:
        """Send a frame with a receipt, and wait for that."""
        number = f"r{next(self._numbers)}"
        await self.send_frames(Frame(frame.command, {**frame.headers, "receipt": number}, frame.body))
        return await self.receipt(number)

    # What it receives

    async def receive(self) -> Received:
        """The next frame. Raises ``ConnectionClosed`` at the end."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._came:
                await self._read_message()
        return self._came.popleft()

    async def frame(self) -> Frame:
        """The next frame."""
        return (await self.receive()).frame

    async def frames(self, number: int) -> list[Frame]:
        """So many frames."""
        return [await self.frame() for _ in range(number)]

    async def expect(self, command: str) -> Frame:
        """The next frame, which must be this one."""
        frame = await self.frame()
        assert frame.command == command, frame
        return frame

    async def receipt(self, receipt_id: str) -> Frame:
        """The RECEIPT of that id; what comes before it is kept for later."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for received in self._came:
                    frame = received.frame
                    assert frame.command != "ERROR", frame
                    if frame.command == "RECEIPT" and frame.headers["receipt-id"] == receipt_id:
                        self._came.remove(received)
                        return frame
                await self._read_message()

    async def read_raw(self) -> bytes:
        """The bytes of the next frame as they came, with its NUL. Nothing else may have come with it."""
        raw = b""
        async with asyncio.timeout(DEADLINE_S):
            while not raw.endswith(b"\0"):
                piece = await self._way.recv()
                raw += piece.encode() if isinstance(piece, str) else piece
        return raw

    async def heart_beat(self) -> None:
        """Wait for one more heart-beat."""
        before = self.heart_beats
        async with asyncio.timeout(DEADLINE_S):
            while self.heart_beats == before:
                await self._read_message()

    async def close_code(self) -> int | None:
        """Read to the end; the code of the close that the server sent. None if the connection was cut, and over TCP.

        Over TCP a reset raises ``ConnectionResetError``: the server must not destroy what it sent before.
        """
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    await self._read_message()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None

    async def refused(self) -> Refused:
        """The ERROR that comes next, and the close that must follow it with nothing between."""
        error = await self.expect("ERROR")
        code = await self.close_code()
        assert not self._came, f"after ERROR came {list(self._came)}"
        return Refused(error, error.headers["code"], code)

    async def _read_message(self) -> None:
        message = await self._way.recv()
        is_text = isinstance(message, str)
        data = message.encode() if isinstance(message, str) else message
        if not data.strip(b"\n"):
            self.heart_beats += 1
        self._parser.receive_bytes(data)
        while (frame := self._parser.next_frame()) is not None:
            self._came.append(Received(frame, is_text))


class TcpWay:
    """A TCP connection with the two doors of ``ClientConnection``. Its end is a ``ConnectionClosed`` without a code."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, piece: str | bytes) -> None:
        """Send a piece."""
        self.writer.write(piece.encode() if isinstance(piece, str) else piece)
        await self.writer.drain()

    async def recv(self) -> bytes:
        """Whatever comes next."""
        data = await self.reader.read(65536)
        if not data:
            raise ConnectionClosedError(None, None)
        return data

    def abort(self) -> None:
        """Drop it."""
        self.writer.transport.abort()


@dataclass(frozen=True)
class Refused:
    """An ERROR with its ``code``, and the close code after it."""

    error: Frame
    code: str
    close_code: int | None

    @property
    def receipt_id(self) -> str | None:
        """What the ERROR says of a receipt."""
        return self.error.headers.get("receipt-id")


@asynccontextmanager
async def opened(
    url: str, subprotocols: Sequence[Subprotocol] | None = SUBPROTOCOLS, **options: Any
) -> AsyncIterator[WireClient]:
    """A client with an open WebSocket."""
    defaults: dict[str, Any] = {"compression": None, "ping_interval": None, "max_size": None, "proxy": None, "close_timeout": 5}
    async with connect(url, subprotocols=subprotocols, **{**defaults, **options}) as socket:
        yield WireClient(socket)


@asynccontextmanager
async def opened_tcp(url: str, **options: Any) -> AsyncIterator[WireClient]:
    """A client with an open TCP connection. ``options`` are those of ``asyncio.open_connection``."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, **options)
    try:
        yield WireClient(TcpWay(reader, writer))
    finally:
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@asynccontextmanager
async def connected(url: str, user: str | None = "user", version: str = "1.2", **headers: str) -> AsyncIterator[WireClient]:
    """A client that has been CONNECTED, by whatever the URL says: ``ws:``, ``wss:`` or ``tcp:``."""
    async with opened_tcp(url) if url.startswith("tcp:") else opened(url) as client:
        await client.connect(user, version, **headers)
        yield client


async def make_room(base_url: str, buyer: str = "buyer", seller: str = "seller", product: str = "") -> str:
    """Make a room over REST, about a product of its own unless one is named; return its UUID."""
    product = product or str(uuid.uuid4())
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        answer = await http.post(
            f"{base_url}/room/create", params={"user": seller, "name": product}, headers={"X-Auth-User": buyer}
        )
    assert answer.status_code == 200, answer.text
    return str(answer.json()[0]["room"]["roomUUID"])


def named_by(headers: dict[str, str]) -> dict[str, str]:
    """Header names from Python's: underscores are hyphens."""
    return {name.replace("_", "-"): value for name, value in headers.items()}
