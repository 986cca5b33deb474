"""HTTP as it looks on the wire: answers whose chunks can be told apart, in versions 1.0 and 1.1, over connections that stay."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.wire_client import DEADLINE_S


def new_session(service: str = "/echo") -> str:
    """The path of a session that nobody else has."""
    return f"{service}/000/{uuid.uuid4()}"


@dataclass
class Answer:
    """The head of an answer. The body is read by ``chunk`` or ``rest``, once."""

    status: int
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    close: Any = None
    has_body: bool = True
    _is_over: bool = field(default=False)

    def __getitem__(self, name: str) -> str:
        return self.headers.get(name, "")

    async def chunk(self) -> str:
        """The next chunk; empty at the end."""
        async with asyncio.timeout(DEADLINE_S):
            if self._is_over:
                return ""
            assert self["transfer-encoding"] == "chunked", self.headers
            size = int(await self.reader.readline(), 16)
            data = await self.reader.readexactly(size + 2)
        self._is_over = size == 0
        return data[:-2].decode("utf-8", "surrogatepass")

    async def rest(self) -> str:
        """The whole body, or what is left of it."""
        async with asyncio.timeout(DEADLINE_S):
            if self.status in (204, 304) or not self.has_body:
                return ""
            if "content-length" in self.headers:
                return (await self.reader.readexactly(int(self["content-length"]))).decode()
            if "transfer-encoding" not in self.headers:
                return (await self.reader.read()).decode()
        chunks = [await self.chunk()]
        while chunks[-1]:
            chunks.append(await self.chunk())
        return "".join(chunks)


class Connection:
    """One connection. Requests go one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.reader, self._writer, self._host = reader, writer, host

    async def ask(
        self, method: str, path: str, body: str | bytes | None = None, version: str = "1.1", **headers: str
    ) -> Answer:
        """Send a request; return the head of its answer. Underscores in names stand for hyphens."""
        data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        lines = [f"{method} {path} HTTP/{version}", f"Host: {self._host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if data is not None:
            lines.append(f"Content-Length: {len(data)}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + (data or b""))
        async with asyncio.timeout(DEADLINE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *given = head.rstrip().split("\r\n")
        named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in given)}
        return Answer(int(status.split()[1]), named, self.reader, self.close, method != "HEAD")

    async def close(self) -> None:
        """Close it, whatever is on its way."""
        self._writer.close()
        async with asyncio.timeout(DEADLINE_S):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Drop it."""
        self._writer.transport.abort()

    async def is_closed(self) -> bool:
        """Wait for the server to close it; what comes before is not expected."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read() == b""


class Web:
    """A server's address, for requests on connections of their own, and on ones that stay."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._open: list[Connection] = []

    @property
    def ws_url(self) -> str:
        """The same for WebSockets."""
        return self.url.replace("http", "ws", 1)

    async def connect(self) -> Connection:
        """A new connection."""
        parts = urlsplit(self.url)
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=4 * 1024 * 1024)
        self._open.append(Connection(reader, writer, parts.netloc))
        return self._open[-1]

    async def start(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> Answer:
        """Ask; the answer's body is still to be read."""
        return await (await self.connect()).ask(method, path, body, **headers)

    async def ask(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> tuple[Answer, str]:
        """Ask; return the answer and its body."""
        answer = await self.start(method, path, body, **headers)
        text = await answer.rest()
        await answer.close()
        return answer, text

    async def post(self, path: str, body: str | bytes | None = None, **headers: str) -> str:
        """POST, which must be answered by 200 or 204; return the body."""
        answer, text = await self.ask("POST", path, body, **headers)
        assert answer.status in (200, 204), (answer.status, text)
        return text

    async def get(self, path: str, **headers: str) -> str:
        """GET, which must be answered by 200; return the body."""
        answer, text = await self.ask("GET", path, **headers)
        assert answer.status == 200, (answer.status, text)
        return text

    def abort(self) -> None:
        """Drop all connections."""
        for connection in self._open:
            connection.abort()

    async def close(self) -> None:
        """Close all connections."""
        for connection in self._open:
            await connection.close()


@asynccontextmanager
async def web(url: str) -> AsyncIterator[Web]:
    """Requests to a server; what is left of connections is closed."""
    found = Web(url)
    try:
        yield found
    finally:
        await found.close()
