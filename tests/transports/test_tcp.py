"""The port for STOMP over TCP: that it closes without destroying what it said, and lets nobody keep it waiting."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from stompgate.stomp.frames import Frame
from stompgate.transports.listener import keep_alive
from tests.daemon_process import Daemon, Launch, launcher, wait_until
from tests.wire_client import DEADLINE_S, WireClient, connected, make_room, opened_tcp

TCP = ("--tcp-port", "0")


@pytest.fixture(scope="module")
def tcp_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with both ports."""
    with launcher(tmp_path_factory.mktemp("tcp")) as launch:
        yield launch(None, *TCP)


@pytest.fixture(scope="module")
def hasty_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that waits for little and takes few."""
    settings = {
        "listen": {"max_connections": 4},
        "stomp": {"first_frame_timeout_s": 0.5},
        "connections": {"closing_grace_s": 0.5, "outbox_limit_bytes": 300_000, "outbox_time_limit_s": 1.0},
    }
    with launcher(tmp_path_factory.mktemp("hasty-tcp")) as launch:
        yield launch(settings, *TCP)


async def left_unread(client: WireClient) -> bytes:
    """What is left to read, to the end of the stream. A reset fails the test."""
    async with asyncio.timeout(DEADLINE_S):
        return await client.tcp.reader.read()


async def has_been_reset(client: WireClient) -> bool:
    """Whether a sign of life meets nobody any more."""
    try:
        await client.write(b"\n")
    except ConnectionError:
        return True
    return False


# What is said on the wrong port


async def test_a_request_of_http_is_answered_in_http(tcp_daemon: Daemon) -> None:
    async with opened_tcp(tcp_daemon.tcp_url) as client:
        await client.write(b"GET /test/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await left_unread(client)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "wrong-port"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(tcp_daemon.tcp_url.replace("tcp", "ws", 1), proxy=None):
            pass
    assert refused.value.response.status_code == 400


async def test_a_request_of_http_in_small_pieces_gets_an_error_at_least(tcp_daemon: Daemon) -> None:
    async with opened_tcp(tcp_daemon.tcp_url) as client:
        await client.write(b"GE")
        await asyncio.sleep(0.05)  # so that it comes in two pieces
        await client.write(b"T / HTTP/1.1\r\n\r\n")
        assert (await client.refused()).code == "unknown-command"


@pytest.mark.parametrize("beginning", ["CONNECT\naccept-version:1.2\n\n\0", "\r\n\nSTOMP\r\naccept-version:1.2\r\n\r\n\0"])
async def test_stomp_on_the_port_for_http_is_answered_in_stomp(tcp_daemon: Daemon, beginning: str) -> None:
    async with opened_tcp(tcp_daemon.url) as client:
        await client.write(beginning)
        assert (await client.refused()).code == "wrong-port"


async def test_the_connect_of_http_is_not_taken_for_stomp(tcp_daemon: Daemon) -> None:
    async with opened_tcp(tcp_daemon.url) as client:
        await client.write("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n")
        assert (await client.tcp.reader.readline()).startswith(b"HTTP/1.1 4")


# How a connection ends


async def test_an_error_is_read_by_a_peer_that_goes_on_sending(tcp_daemon: Daemon) -> None:
    async with connected(tcp_daemon.tcp_url) as client:
        await client.write(b"BOGUS\n\n\0" + b"SEND\ndestination:/topic/x\n\nxxxx\0" * 50_000)
        refused = await client.refused()
    assert refused.code == "unknown-command"


async def test_the_receipt_of_disconnect_is_read_before_the_end(hasty_daemon: Daemon) -> None:
    async with connected(hasty_daemon.tcp_url) as client:
        await client.ask(Frame("DISCONNECT"))
        assert await client.close_code() is None


async def test_disconnect_without_receipt_ends_the_stream_at_once(tcp_daemon: Daemon) -> None:
    async with connected(tcp_daemon.tcp_url) as client:
        await client.send_frames(Frame("DISCONNECT"))
        assert await left_unread(client) == b""


async def test_who_only_shuts_down_its_half_gets_the_answers_and_then_the_end(tcp_daemon: Daemon) -> None:
    room = await make_room(tcp_daemon.url, "user")
    body = b'{"content":"x"}'
    sends = [Frame("SEND", {"destination": f"/pub/room/{room}/message", "receipt": str(n)}, body) for n in range(100)]
    async with connected(tcp_daemon.tcp_url) as client:
        await client.send_frames(*sends)
        client.tcp.writer.write_eof()
        receipts = [(await client.expect("RECEIPT")).headers["receipt-id"] for _ in sends]
        assert receipts == [str(number) for number in range(100)]
        assert await client.close_code() is None
    async with connected(tcp_daemon.tcp_url) as client:
        await client.send_frames(Frame("SUBSCRIBE", {"destination": "/topic/x", "id": "1", "receipt": "last"}))
        client.tcp.writer.write_eof()
        assert (await client.expect("RECEIPT")).headers["receipt-id"] == "last"
        assert await client.close_code() is None


async def test_a_refusal_after_the_peers_end_of_stream_is_still_told(tcp_daemon: Daemon) -> None:
    room = await make_room(tcp_daemon.url, "user")
    sent = Frame("SEND", {"destination": f"/pub/room/{room}/message", "receipt": "r"}, b'{"content":"x"}')
    async with connected(tcp_daemon.tcp_url) as client:
        await client.send_frames(sent, Frame("SEND", {"destination": "/nowhere"}))
        client.tcp.writer.write_eof()
        assert (await client.expect("RECEIPT")).headers["receipt-id"] == "r"
        assert (await client.refused()).code == "bad-destination"


async def test_what_a_peer_sent_before_it_reset_the_connection_takes_effect(tcp_daemon: Daemon) -> None:
    async with connected(tcp_daemon.tcp_url) as listening:
        await listening.subscribe("/topic/left")
        client = socket.create_connection(("localhost", tcp_daemon.tcp_port))
        client.sendall(b"CONNECT\naccept-version:1.2\nsender:user\n\n\0SEND\ndestination:/topic/left\n\nbye\0")
        assert (await listening.expect("MESSAGE")).body == b"bye"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await listening.send("/topic/left", "here")


def test_clients_that_leave_at_once_cost_nothing(tcp_daemon: Daemon) -> None:
    port = tcp_daemon.tcp_port
    before = len(tcp_daemon.events("connection closed"))
    for number in range(100):
        with socket.create_connection(("localhost", port)) as client:
            client.sendall(b"CONNECT\naccept-version:1.2\nsender:user\n\n\0"[: number % 40])
    wait_until(lambda: len(tcp_daemon.events("connection closed")) >= before + 100, "all of them are gone")


async def test_who_does_not_close_after_the_end_of_stream_is_cut_off(hasty_daemon: Daemon) -> None:
    async with connected(hasty_daemon.tcp_url) as client:
        await client.send_frames(Frame("DISCONNECT"))
        assert await left_unread(client) == b""
        async with asyncio.timeout(DEADLINE_S):
            while not await has_been_reset(client):  # noqa: ASYNC110 (only sending shows it)
                await asyncio.sleep(0.01)


# Peers that take their time


async def test_a_peer_that_does_not_connect_in_time_is_told_so(hasty_daemon: Daemon) -> None:
    async with opened_tcp(hasty_daemon.tcp_url) as client:
        assert (await client.refused()).code == "first-frame-late"
    async with opened_tcp(hasty_daemon.tcp_url) as client:
        await client.write("CONNECT\naccept-ver")
        assert (await client.refused()).code == "first-frame-late"


async def test_who_does_not_read_is_closed_and_nobody_else_notices(hasty_daemon: Daemon) -> None:
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("localhost", hasty_daemon.tcp_port))
    narrow.setblocking(False)
    async with connected(hasty_daemon.tcp_url) as sender, opened_tcp("tcp://", sock=narrow) as slow:
        await slow.connect()
        await slow.subscribe("/topic/flood")
        await sender.subscribe("/topic/flood")
        for _ in range(400):
            await sender.send("/topic/flood", "x" * 20_000)
            await sender.expect("MESSAGE")
            if hasty_daemon.events("connection closed") and _causes(hasty_daemon)[-1] == "slow-consumer":
                break
        await asyncio.to_thread(wait_until, lambda: "slow-consumer" in _causes(hasty_daemon), "the slow one is closed")
        await sender.send("/topic/flood", "still here")


def _causes(daemon: Daemon) -> list[str]:
    return [event["cause"] for event in daemon.events("connection closed")]


# How many there may be


async def test_both_ports_share_one_limit_and_one_too_many_is_told_so(hasty_daemon: Daemon) -> None:
    clients = [connected(url) for url in (hasty_daemon.tcp_url, hasty_daemon.ws_url) * 2]
    for client in clients:
        await client.__aenter__()
    try:
        async with opened_tcp(hasty_daemon.tcp_url) as one_too_many:
            refused = await one_too_many.refused()
        assert (refused.code, refused.error.headers["retry"]) == ("too-many-connections", "true")
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)
    async with connected(hasty_daemon.tcp_url):
        pass


# Stopping, settings, TLS


async def test_a_server_that_stops_ends_its_streams(launch: Launch) -> None:
    daemon = launch(None, *TCP)
    async with connected(daemon.tcp_url) as client:
        stopping = asyncio.create_task(asyncio.to_thread(daemon.stop))
        assert await client.close_code() is None
        client.tcp.writer.close()
        await stopping
    assert _causes(daemon) == ["server-stopping"]


def test_without_the_setting_there_is_no_such_port(launch: Launch) -> None:
    daemon = launch()
    with pytest.raises(AssertionError, match="no port for TCP"):
        _ = daemon.tcp_url


def test_the_system_is_asked_to_notice_peers_that_are_gone_without_a_word() -> None:
    for silence_s in (10, 120):
        with socket.socket() as listening:
            keep_alive(listening, silence_s)
            asked = [listening.getsockopt(socket.IPPROTO_TCP, option) for option in (socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)]
            idle_s = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            assert idle_s + asked[0] * asked[1] == silence_s
            assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == silence_s * 1000
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            with socket.create_connection(listening.getsockname()):
                accepted, _ = listening.accept()
                with accepted:
                    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == idle_s


@pytest.mark.parametrize("own", [False, True], ids=["that of [listen]", "its own"])
async def test_tls_is_spoken(launch: Launch, certificate: tuple[Path, Path], *, own: bool) -> None:
    chain, key = certificate
    files = {"tls_certificate": str(chain), "tls_key": str(key)}
    daemon = launch({"tcp": files} if own else {"listen": files}, *TCP)
    trusting = ssl.create_default_context(cafile=str(chain))
    async with opened_tcp(daemon.tcp_url, ssl=trusting) as client:
        await client.connect()
        await client.subscribe("/topic/x")
        await client.send("/topic/x", "secret")
        assert (await client.expect("MESSAGE")).body == b"secret"
        await client.write(b"BOGUS\n\n\0" + b"\n" * 100_000)
        assert (await client.refused()).code == "unknown-command"
    async with opened_tcp(daemon.tcp_url, ssl=trusting) as client:
        await client.connect()
        await client.ask(Frame("DISCONNECT"))
    async with opened_tcp(daemon.tcp_url) as client:  # never begins the handshake of TLS, and is let go when the port is closed
        await asyncio.to_thread(daemon.stop)
        assert await left_unread(client) == b""


async def test_clear_text_where_the_other_port_has_tls(launch: Launch, certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    listen = {"tls_certificate": str(chain), "tls_key": str(key)}
    daemon = launch({"listen": listen, "tcp": {"clear_text": True}}, *TCP)
    async with connected(daemon.tcp_url) as client:
        await client.send("/topic/x", "plain")
