"""The port: what comes in by it that is no STOMP, and what a peer may not do before it has said what it is."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.uri import parse_uri

from stompgate.stomp.frames import Frame
from stompgate.transports.door import Doorkeeper, asks_for_websocket
from stompgate.transports.listener import bound_sockets
from tests.daemon.in_process import ServerThread, serving
from tests.daemon_process import Daemon, Launch, launcher
from tests.waiting import until
from tests.wire_client import DEADLINE_S, connected, make_room, opened

UPGRADE = (
    b"GET /ws-stomp HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def hasty_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that waits for little and takes few."""
    settings = {
        "listen": {"head_timeout_s": 0.5, "head_limit_bytes": 2000, "max_connections": 8},
        "stomp": {"first_frame_timeout_s": 0.5},
        "websocket": {"close_timeout_s": 0.5},
    }
    with launcher(tmp_path_factory.mktemp("hasty")) as launch:
        yield launch(settings)


@asynccontextmanager
async def raw(daemon: Daemon | ServerThread) -> AsyncIterator[Streams]:
    """A bare connection."""
    reader, writer = await asyncio.open_connection("localhost", daemon.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers of a response."""
    async with asyncio.timeout(DEADLINE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.rstrip().split("\r\n")
    return int(status.split()[1]), {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def read_problem(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and code of a problem document, after which the connection must end."""
    status, headers = await read_head(reader)
    assert headers["content-type"] == "application/problem+json"
    async with asyncio.timeout(DEADLINE_S):
        problem = json.loads(await reader.readexactly(int(headers["content-length"])))
        assert await reader.read() == b""
    assert problem["status"] == status
    assert problem["detail"]
    return status, str(problem["code"])


# What is no upgrade of ours


async def test_an_upgrade_on_another_path_is_not_found(shared_daemon: Daemon) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(shared_daemon.ws_url.replace("ws-stomp", "other")):
            pass
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body or b"")["code"] == "not-found"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example", "http://localhost:1"])
async def test_a_page_of_a_foreign_origin_may_not_connect(shared_daemon: Daemon, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(shared_daemon.ws_url, origin=origin):
            pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"")["code"] == "origin-refused"


async def test_two_origins_are_none(shared_daemon: Daemon) -> None:
    own = shared_daemon.url.encode()
    async with raw(shared_daemon) as (reader, writer):
        writer.write(UPGRADE % (b"Origin: %s\r\nOrigin: %s\r\n" % (own, own)))
        assert await read_problem(reader) == (403, "origin-refused")


async def test_our_own_pages_may_connect(shared_daemon: Daemon) -> None:
    async with opened(shared_daemon.ws_url, origin=shared_daemon.url) as client:
        await client.connect()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (b"Sec-WebSocket-Protocol: v12.stomp, v11.stomp\r\n", "v12.stomp"),
        (b"Sec-WebSocket-Protocol: v10.stomp, v12.stomp\r\n", "v10.stomp"),
        (b"Sec-WebSocket-Protocol: mqtt\r\n", None),
        (b"", None),
    ],
)
async def test_a_subprotocol_is_chosen_where_one_is_offered(shared_daemon: Daemon, offered: bytes, chosen: str | None) -> None:
    async with raw(shared_daemon) as (reader, writer):
        writer.write(UPGRADE % offered)
        status, headers = await read_head(reader)
    assert status == 101
    assert headers.get("sec-websocket-protocol") == chosen


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"NONSENSE\r\nUpgrade: websocket\r\n\r\n", 400),
        (b"GET /ws-stomp HTTP/1.1\r\nbad header\r\nUpgrade: websocket\r\n\r\n", 400),
        (b"GET /ws-stomp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
        (b"GET /ws-stomp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", 426),
        (UPGRADE.replace(b"GET", b"POST") % b"", 405),
        (UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") % b"", 505),
        (UPGRADE.replace(b"Key: dGhl", b"Key: d") % b"", 400),
        (UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: x, websocket, y") % b"", 426),
        (UPGRADE % (b"x: y\r\n" * 300), 400),
    ],
    ids=str,
)
async def test_a_malformed_upgrade_is_refused_by_a_problem_document(shared_daemon: Daemon, head: bytes, status: int) -> None:
    async with raw(shared_daemon) as (reader, writer):
        writer.write(head)
        assert await read_problem(reader) == (status, "bad-request")


def test_an_upgrade_is_found_whatever_its_spelling() -> None:
    assert asks_for_websocket(b"GET / HTTP/1.1\r\nUPGRADE:WebSocket\r\n\r\n")
    assert not asks_for_websocket(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nx: websocket\r\n\r\n")


async def test_a_plain_request_where_websockets_are_opened_is_told_so(shared_daemon: Daemon) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        greeting = await http.get(f"{shared_daemon.url}/ws-stomp")
        refused = await http.get(f"{shared_daemon.url}/ws-stomp/a/b/websocket")
    assert (greeting.status_code, greeting.text) == (200, "Welcome to SockJS!\n")
    assert (refused.status_code, refused.text) == (400, 'Can "Upgrade" only to "WebSocket".')


# Bytes that come together, or apart


async def test_frames_behind_the_upgrade_are_not_lost(shared_daemon: Daemon) -> None:
    protocol = ClientProtocol(parse_uri(shared_daemon.ws_url))
    request = protocol.connect()
    frame = WebSocketFrame(Opcode.TEXT, b"CONNECT\naccept-version:1.2\nsender:user\n\n\0").serialize(mask=True)
    async with raw(shared_daemon) as (reader, writer):
        writer.write(request.serialize() + frame)
        assert (await read_head(reader))[0] == 101
        async with asyncio.timeout(DEADLINE_S):
            assert b"CONNECTED\n" in await reader.readuntil(b"\0")


async def test_an_upgrade_that_comes_byte_by_byte_is_understood(shared_daemon: Daemon) -> None:
    async with raw(shared_daemon) as (reader, writer):
        for byte in UPGRADE % b"":
            writer.write(bytes((byte,)))
            await writer.drain()
        assert (await read_head(reader))[0] == 101


async def test_requests_that_are_pipelined_are_answered_in_turn(shared_daemon: Daemon) -> None:
    async with raw(shared_daemon) as (reader, writer):
        writer.write(b"GET /chat/test HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        for _ in range(3):
            status, headers = await read_head(reader)
            assert status == 200
            assert await reader.readexactly(int(headers["content-length"])) == b"test response"


async def test_http_1_0_is_answered_without_chunks(shared_daemon: Daemon) -> None:
    async with raw(shared_daemon) as (reader, writer):
        writer.write(b"GET /chat/test HTTP/1.0\r\n\r\n")
        status, headers = await read_head(reader)
        assert status == 200
        assert "transfer-encoding" not in headers
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b"test response"


async def test_what_is_no_http_is_refused(shared_daemon: Daemon) -> None:
    async with raw(shared_daemon) as (reader, writer):
        writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
        assert (await read_head(reader))[0] == 400


async def test_a_peer_that_only_shuts_down_its_half_is_let_go(shared_daemon: Daemon) -> None:
    async with raw(shared_daemon) as (reader, writer):
        writer.write(UPGRADE % b"")
        await read_head(reader)
        writer.write_eof()
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""


async def test_such_a_peer_is_given_the_answers_that_it_is_owed(shared_daemon: Daemon) -> None:
    room = await make_room(shared_daemon.url, "user")
    sent = Frame("SEND", {"destination": f"/pub/room/{room}/message", "receipt": "r"}, b'{"content":"x"}')
    async with connected(shared_daemon.ws_url) as client:
        await client.send_frames(sent)
        client.socket.transport.write_eof()
        assert (await client.expect("RECEIPT")).headers["receipt-id"] == "r"
        assert await client.close_code() in (1000, None)  # by whether the answer was there before the end


# Peers that take their time


async def test_a_head_that_does_not_end_in_time_is_told_so(hasty_daemon: Daemon) -> None:
    async with raw(hasty_daemon) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await read_problem(reader) == (408, "head-late")


async def test_a_head_that_is_too_large_is_told_so_though_more_of_it_comes(hasty_daemon: Daemon) -> None:
    async with raw(hasty_daemon) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        for _ in range(100):
            writer.write(b"a: " + b"x" * 500 + b"\r\n")
        assert await read_problem(reader) == (413, "frame-too-large")


async def test_a_second_head_is_bounded_like_the_first(hasty_daemon: Daemon) -> None:
    async with raw(hasty_daemon) as (reader, writer):
        writer.write(b"GET /chat/test HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _, headers = await read_head(reader)
        await reader.readexactly(int(headers["content-length"]))
        writer.write(b"GET /chat/test HTTP/1.1\r\nHost: localhost\r\n")
        await writer.drain()
        for _ in range(10):
            writer.write(b"a: " + b"x" * 900 + b"\r\n")
            await asyncio.sleep(0.01)  # so that it comes in pieces
        assert await read_problem(reader) == (413, "frame-too-large")


async def test_a_websocket_may_be_asked_for_behind_other_requests_of_the_same_connection(shared_daemon: Daemon) -> None:
    """As by a proxy that keeps its connections to us."""
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\n{key}"
    async with raw(shared_daemon) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers = await read_head(reader)
            assert status == 200
            await reader.readexactly(int(headers["content-length"]))
        writer.write(f"GET /ws-stomp?a=b HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode())
        status, _ = await read_head(reader)
        assert status == 101
        frame = WebSocketFrame(Opcode.TEXT, b"CONNECT\naccept-version:1.2\nhost:x\nsender:user\n\n\0")
        writer.write(frame.serialize(mask=True))
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.readexactly(11))[-9:] == b"CONNECTED"
    async with raw(shared_daemon) as (reader, writer):
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_head(reader))[0] == 200
        writer.write(f"GET /ws-stomp HTTP/1.1\r\nHost: x\r\nOrigin: http://elsewhere.example\r\n{upgrade}\r\n".encode())
        async with asyncio.timeout(DEADLINE_S):
            assert b" 403 " in await reader.read()


@pytest.mark.parametrize(
    "beginning",
    [
        b"POST /inquiry/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx",
        b"POST /inquiry/upload HTTP/1.0\r\nContent-Length: 100\r\n\r\nx",
        b"GET /chat/test HTTP/1.1\r\nHost: localhost\r\n\r\nGET /chat/test HTTP/1.1\r\nHost:",
    ],
    ids=["body", "body in 1.0", "second head"],
)
async def test_a_request_that_never_ends_is_cut_off(hasty_daemon: Daemon, beginning: bytes) -> None:
    async with raw(hasty_daemon) as (reader, writer):
        writer.write(beginning)
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionError):
                while await reader.read(1000):
                    pass


async def test_a_client_that_does_not_connect_in_time_is_told_so(hasty_daemon: Daemon) -> None:
    async with opened(hasty_daemon.ws_url) as client:
        refused = await client.refused()
    assert (refused.code, refused.close_code) == ("first-frame-late", 1008)


async def test_one_that_connects_in_time_stays(hasty_daemon: Daemon) -> None:
    async with connected(hasty_daemon.ws_url) as client, opened(hasty_daemon.ws_url) as silent:
        assert (await silent.refused()).code == "first-frame-late"
        await client.send("/topic/x", "here")


async def test_a_peer_that_does_not_answer_the_close_is_cut_off(hasty_daemon: Daemon) -> None:
    async with raw(hasty_daemon) as (reader, writer):
        writer.write(UPGRADE % b"")
        await read_head(reader)
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionError):
                assert b"first-frame-late" in await reader.read()


async def test_one_connection_too_many_is_told_so(hasty_daemon: Daemon) -> None:
    async with raw(hasty_daemon) as (reader, writer):  # until those of earlier tests are gone
        writer.write(b"GET /chat/test HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await read_head(reader))[0] == 200
    clients = [connected(hasty_daemon.ws_url) for _ in range(8)]
    for client in clients:
        await client.__aenter__()
    try:
        async with raw(hasty_daemon) as (reader, writer):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await read_problem(reader) == (503, "too-many-connections")
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)
    async with connected(hasty_daemon.ws_url):
        pass


# When the port is closed


async def test_who_has_not_asked_yet_is_let_go_at_once_and_who_has_begun_is_told_to_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as thread, raw(thread) as (spare, _), raw(thread) as (half, asking), raw(thread) as kept:
        asking.write(UPGRADE[:-4])
        kept[1].write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _, headers = await read_head(kept[0])
        await kept[0].readexactly(int(headers["content-length"]))
        at_door = thread.server.house.at_door

        def begun() -> list[bool]:
            return sorted(isinstance(keeper, Doorkeeper) and keeper._head != b"" for keeper in list(at_door))

        await until(lambda: begun() == [False, True], "both are at the door")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(thread.server.listeners[0].close(), thread.loop))
        async with asyncio.timeout(DEADLINE_S):
            assert await spare.read() == b""
        assert await read_problem(half) == (503, "server-stopping")
        kept[1].write(UPGRADE % b"")  # whoever is inside stays, but nobody comes in this way either
        assert await read_problem(kept[0]) == (503, "server-stopping")
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


# Addresses, TLS


async def test_it_listens_on_ipv6_and_says_so_in_its_url(launch: Launch) -> None:
    daemon = launch(None, "--host", "::1")
    assert daemon.url == f"http://[::1]:{daemon.port}"
    async with connected(daemon.ws_url) as client:
        await client.send("/topic/x", "x")


def test_a_free_port_is_the_same_for_all_addresses() -> None:
    sockets = bound_sockets("localhost", 0)
    try:
        assert len({bound.getsockname()[1] for bound in sockets}) == 1
    finally:
        for bound in sockets:
            bound.close()


def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError, match=r"assign|address"):
        bound_sockets("192.0.2.1", 0)


async def test_tls_serves_both_websocket_and_http(launch: Launch, certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    daemon = launch({"listen": {"head_timeout_s": 1.0}}, "--tls-certificate", str(chain), "--tls-key", str(key))
    trusting = ssl.create_default_context(cafile=str(chain))
    assert daemon.url.startswith("https://")
    async with opened(daemon.ws_url, ssl=trusting) as client:
        await client.connect()
        await client.subscribe("/topic/x")
        await client.send("/topic/x", "secret")
        assert (await client.expect("MESSAGE")).body == b"secret"
        await client.write("BOGUS\n\n\0")
        assert (await client.refused()).close_code == 1002
    async with httpx.AsyncClient(verify=trusting, trust_env=False) as http:
        assert (await http.get(f"{daemon.url}/chat/test")).text == "test response"
    with pytest.raises(InvalidStatus):
        async with opened(daemon.ws_url + "/other", ssl=trusting):
            pass
    async with raw(daemon) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")  # in clear text
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionError):
                await reader.read()
    silent = socket.create_connection(("localhost", daemon.port))  # never begins the handshake of TLS
    silent.settimeout(DEADLINE_S)
    with suppress(ConnectionError):
        assert (await asyncio.to_thread(silent.recv, 1)) == b""
    silent.close()
