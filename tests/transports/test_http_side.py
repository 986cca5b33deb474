"""HTTP connections take one request at a time, whatever comes behind it, and no head that is larger than it may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from stompgate.transports.http_protocols import HeadLimited, HeadLimits
from stompgate.transports.http_side import HttpSide
from tests.daemon_process import DEADLINE_S, Daemon
from tests.waiting import until

from .test_door import raw, read_head, read_problem

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

GET = b"GET /chat/test HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /chat/test HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
TOGETHER = 1000
MOST_HEADERS = HeadLimits().headers


class Echo:
    """An application that answers with the body of the request, once it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked = 0

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(app: Echo) -> AsyncIterator[tuple[HttpSide, int]]:
    """The application behind sockets, and their port."""
    loop = asyncio.get_running_loop()
    side = HttpSide(app, loop.time, patience_s=DEADLINE_S, head=HeadLimits())
    server = await loop.create_server(lambda: side.protocol_for(GET), "127.0.0.1", 0)
    try:
        yield side, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await side.close()


@pytest.mark.parametrize("request_", [GET, POST])
async def test_of_requests_that_come_together_each_waits_for_the_one_before_it(request_: bytes) -> None:
    app = Echo()
    async with served(app) as (side, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_ * TOGETHER)
        await until(lambda: app.asked > 0, "the first one is asked")
        (connection,) = side._state.connections
        assert isinstance(connection, HeadLimited)
        assert (app.asked, len(connection.pipeline)) == (1, 0)
        app.may_answer.set()
        for _ in range(TOGETHER):
            status, headers = await read_head(reader)
            assert status == 200
            await reader.readexactly(int(headers["content-length"]))
        writer.close()


class Leaver(Echo):
    """One whose connection is lost just when it has answered. ``side``: where that is."""

    side: HttpSide

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        for connection in self.side._state.connections:
            connection.transport.abort()


async def test_of_a_connection_that_is_being_lost_no_further_request_is_begun() -> None:
    app = Leaver()
    async with served(app) as (app.side, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET * 2)
        await until(lambda: app.asked > 0, "the first one is asked")
        app.may_answer.set()
        await until(lambda: not app.side.connected, "the connection is lost")
        assert app.asked == 1
        writer.close()


@pytest.mark.parametrize("cut_bytes", [1, 3, 4, 5, 4096, 1_000_000])
async def test_a_body_may_have_what_ends_a_head_and_may_come_in_any_pieces(cut_bytes: int) -> None:
    app = Echo()
    app.may_answer.set()
    bodies = [b"\r\n\r\n" * 50, b"", b"GET / HTTP/1.1\r\n\r\n" * 10, b"x" * (1 if cut_bytes < 4096 else 200_000)]
    sent = b"".join(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies)
    async with served(app) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, len(sent), cut_bytes):
            writer.write(sent[start : start + cut_bytes])
            await asyncio.sleep(0)
        for body in bodies:
            status, headers = await read_head(reader)
            assert (status, headers["content-length"]) == (200, f"{len(body)}")
            assert await reader.readexactly(len(body)) == body
        writer.close()


async def test_a_second_head_is_bounded_also_where_it_comes_in_one_piece(shared_daemon: Daemon) -> None:
    async with raw(shared_daemon) as (reader, writer):
        writer.write(GET * 5 + b"GET /chat/test HTTP/1.1\r\n" + b"a: %b\r\n" % (b"x" * 1000) * 60 + b"\r\n")
        for _ in range(5):
            status, headers = await read_head(reader)
            assert status == 200
            await reader.readexactly(int(headers["content-length"]))
        assert await read_problem(reader) == (413, "frame-too-large")


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_head_has_no_more_headers_than_it_may(shared_daemon: Daemon, version: bytes) -> None:
    for headers, status in ((MOST_HEADERS, b"200"), (MOST_HEADERS + 1, b"413")):
        async with raw(shared_daemon) as (reader, writer):
            lines = b"Host: x\r\nConnection: close\r\n" + b"a:\r\n" * (headers - 2)
            writer.write(b"GET /chat/test HTTP/%b\r\n%b\r\n" % (version, lines))
            async with asyncio.timeout(DEADLINE_S):
                assert (await reader.read()).split()[1] == status


async def test_nor_has_a_second_one(shared_daemon: Daemon) -> None:
    async with raw(shared_daemon) as (reader, writer):
        writer.write(GET + b"GET /chat/test HTTP/1.1\r\n" + b"a:\r\n" * (MOST_HEADERS + 1) + b"\r\n")
        _, answered = await read_head(reader)
        await reader.readexactly(int(answered["content-length"]))
        assert (await read_head(reader))[0] == 400


@pytest.mark.parametrize("first", [GET, POST])
async def test_an_upgrade_behind_another_request_is_answered_after_it_and_frames_behind_it_are_not_lost(
    shared_daemon: Daemon, first: bytes
) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n" % (
        b"A" * 22 + b"=="
    )
    connect = WebSocketFrame(Opcode.TEXT, b"CONNECT\naccept-version:1.2\nhost:x\nsender:user\n\n\0").serialize(mask=True)
    async with raw(shared_daemon) as (reader, writer):
        writer.write(first + b"GET /ws-stomp HTTP/1.1\r\nHost: x\r\n%b\r\n" % upgrade + connect)
        _, headers = await read_head(reader)
        await reader.readexactly(int(headers["content-length"]))
        assert (await read_head(reader))[0] == 101
        async with asyncio.timeout(DEADLINE_S):
            await reader.readuntil(b"CONNECTED")
            writer.write(WebSocketFrame(Opcode.TEXT, b"DISCONNECT\nreceipt:later\n\n\0").serialize(mask=True))
            await reader.readuntil(b"receipt-id:later")


@pytest.mark.parametrize(
    ("body", "behind"), [(b"Content-Length: 0", b"\r\n"), (b"Transfer-Encoding: chunked", b"no chunk\r\n")]
)
async def test_what_comes_behind_a_request_of_http_1_0_is_no_fault_of_ours(
    shared_daemon: Daemon, body: bytes, behind: bytes
) -> None:
    async with raw(shared_daemon) as (reader, writer):
        writer.write(
            b"POST /ws-stomp/000/%b/xhr_streaming HTTP/1.0\r\nHost: x\r\n%b\r\n\r\n" % (behind[:2].hex().encode(), body)
        )
        async with asyncio.timeout(DEADLINE_S):
            await reader.readuntil(b"o\n")
            writer.write(behind)
            writer.write_eof()
            assert await reader.read() == b""
    shared_daemon.check_log()
