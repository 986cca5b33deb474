"""STOMP over a SockJS session, by XHR streaming or polling, with the two doors of a WebSocket."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.exceptions import ConnectionClosedError

from tests.wire_client import WireClient

from .wire import Answer, Connection, Web, new_session


class SockJsWay:
    """One session. Its end, from whichever side, is a ``ConnectionClosedError`` without a code.

    ``transport``: ``xhr_streaming`` or ``xhr``. Messages are sent over one connection, and taken over the other.
    """

    def __init__(self, web: Web, sending: Connection, taking: Connection, session: str, transport: str) -> None:
        self._web, self._sending, self._taking = web, sending, taking
        self._session, self._transport = session, transport
        self._answer: Answer | None = None
        self._rest = ""
        self._texts: deque[str] = deque()
        self._is_open = False

    async def send(self, piece: str | bytes) -> None:
        """Send a message."""
        text = piece.decode() if isinstance(piece, bytes) else piece
        answer = await self._sending.ask("POST", f"{self._session}/xhr_send", json.dumps([text]))
        await answer.rest()
        if answer.status != 204:
            raise ConnectionClosedError(None, None)

    async def recv(self) -> str:
        """The next message."""
        while not self._texts:
            await self._take()
        return self._texts.popleft()

    def abort(self) -> None:
        """Drop both connections; the server lets the session go after a while."""
        self._web.abort()

    async def open(self) -> None:
        """Wait for the session's beginning."""
        while not self._is_open:
            await self._take()

    async def _take(self) -> None:
        """Read a piece of an answer, or ask for the next answer."""
        if self._answer is None:
            answer = await self._taking.ask("POST", f"{self._session}/{self._transport}")
            if answer.status != 200:
                raise ConnectionClosedError(None, None)
            self._answer = answer
        try:
            piece = await self._answer.chunk() if self._transport == "xhr_streaming" else await self._answer.rest()
        except ValueError:  # the end of the connection, where the size of a chunk should be
            raise ConnectionClosedError(None, None) from None
        if not piece or self._transport == "xhr":
            self._answer = None
        *lines, self._rest = (self._rest + piece).split("\n")
        for line in lines:
            self._see(line)

    def _see(self, line: str) -> None:
        match line[:1]:
            case "o" if not self._is_open:
                self._is_open = True
            case "a":
                self._texts.extend(json.loads(line[1:]))
            case "o" | "c":  # a second beginning: the server knows the first session no more
                raise ConnectionClosedError(None, None)


@asynccontextmanager
async def connected_session(url: str, user: str) -> AsyncIterator[WireClient]:
    """A client that has been CONNECTED. The URL's scheme is the transport, ``xhr_streaming`` or ``xhr``."""
    transport, _, address = url.partition("://")
    host, _, service = address.partition("/")
    web = Web(f"http://{host}")
    try:
        way = SockJsWay(web, await web.connect(), await web.connect(), new_session(f"/{service}"), transport)
        await way.open()
        client = WireClient(way)
        await client.connect(user)
        yield client
    finally:
        web.abort()
