"""One connection's input, however dense, leaves others their turn, and nothing of it is lost or changes its place."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from functools import partial
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from stompgate.gateway.link import Link
from stompgate.model.causes import Cause
from stompgate.timing.wheel import TimerWheel
from stompgate.transports.framing import FRAMING
from stompgate.transports.outbox import Flusher, OutboxLimits
from stompgate.transports.sockjs_session import SessionHost, SockJsLimits, SockJsLink
from stompgate.transports.sockjs_websocket import SocketHost, SockJsSocket
from stompgate.transports.tcp import TcpLink
from stompgate.transports.websocket import WebSocketLimits, WebSocketLink

PER_TURN = 64
MOST_AT_ONCE = PER_TURN + 4096 // 7
"""What one piece may hold beside the frames of a turn: each takes 7 bytes."""


class OneSocket(asyncio.Transport):
    """A transport that notes whether it is read, and what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True
        self.written = b""

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def write(self, data: Any) -> None:
        self.written += data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Notes:
    """A receiver that notes what comes, and may pause the reading after so many pieces."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.received: list[bytes] = []
        self.pause_at = 0

    def receive_bytes(self, data: bytes) -> None:
        self.received.append(data)
        if len(self.received) == self.pause_at:
            self.link.pause_reading()

    def fail(self, error: BaseException) -> None:
        raise error

    def close(self, cause: Cause) -> None:
        raise AssertionError(cause)

    def ended(self) -> bool:
        return False

    def lost(self, cause: Cause) -> None:
        """Nothing is left to do."""


class Scene:
    """A link between the two. ``sockjs``: the same with SockJS over the WebSocket, and the host of one that has requests."""

    def __init__(self, *, is_sockjs: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.socket = OneSocket()
        self.notes: Notes
        self.flusher = flusher = Flusher(loop, TimerWheel(0.05), OutboxLimits())
        self.sockjs = SessionHost(flusher, SockJsLimits(), FRAMING, self.attach, lambda _: None)
        sockets = SocketHost(flusher, SockJsLimits(), lambda wire: wire, self.attach)
        attach = partial(SockJsSocket, sockets) if is_sockjs else self.attach
        self.link = WebSocketLink(self.socket, flusher, WebSocketLimits(frames_per_turn=PER_TURN), attach)

    def attach(self, link: Link) -> Notes:
        self.notes = Notes(link)
        return self.notes


def small_frames(number: int) -> tuple[bytes, list[bytes]]:
    """So many frames of one byte each, and what is in them."""
    pieces = [bytes([number % 128]) for number in range(number)]
    return b"".join(Frame(Opcode.TEXT, piece).serialize(mask=True) for piece in pieces), pieces


async def settle(scene: Scene) -> int:
    """Let turns pass until the socket is read again; return how many there were."""
    for turns in range(100_000):
        if scene.socket.is_read:
            return turns
        await asyncio.sleep(0)
    raise AssertionError("the socket is not read again")


async def test_a_read_full_of_tiny_frames_is_taken_in_turns_and_whole() -> None:
    scene = Scene()
    data, pieces = small_frames(20_000)
    most, before = 0, 0
    scene.link.data_received(data)
    while not scene.socket.is_read:
        most, before = max(most, len(scene.notes.received) - before), len(scene.notes.received)
        await asyncio.sleep(0)
    assert scene.notes.received == pieces
    assert most <= MOST_AT_ONCE


async def test_an_ordinary_read_is_taken_at_once() -> None:
    scene = Scene()
    frame = Frame(Opcode.BINARY, bytes(200_000)).serialize(mask=True)
    scene.link.admit()
    scene.link.data_received(frame)
    assert scene.socket.is_read
    assert scene.notes.received == [bytes(200_000)]


async def test_what_comes_although_reading_is_paused_keeps_its_place() -> None:
    scene = Scene()
    data, pieces = small_frames(5_000)
    for at in range(0, len(data), 9_000):
        scene.link.data_received(data[at : at + 9_000])
    await settle(scene)
    assert scene.notes.received == pieces


async def test_a_receiver_that_pauses_is_given_the_rest_when_it_resumes() -> None:
    scene = Scene()
    data, pieces = small_frames(5_000)
    scene.notes.pause_at = 1_000
    scene.link.data_received(data)
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert not scene.socket.is_read
    assert 1_000 <= len(scene.notes.received) <= 1_000 + MOST_AT_ONCE
    scene.link.resume_reading()
    await settle(scene)
    assert scene.notes.received == pieces


async def test_what_came_before_the_end_of_the_stream_is_taken() -> None:
    scene = Scene()
    data, pieces = small_frames(5_000)
    scene.link.data_received(data)
    assert len(scene.notes.received) < len(pieces)
    scene.link.eof_received()
    assert scene.notes.received == pieces


async def test_after_the_connection_is_lost_nothing_more_is_taken() -> None:
    scene = Scene()
    data, _ = small_frames(5_000)
    scene.link.data_received(data)
    scene.link.connection_lost(None)
    taken = len(scene.notes.received)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(scene.notes.received) == taken


@pytest.mark.parametrize("is_paused", [False, True])
async def test_after_a_full_read_over_tcp_others_have_their_turn_before_the_next(*, is_paused: bool) -> None:
    scene = Scene()
    link = TcpLink(scene.socket, scene.flusher, 1.0, scene.attach)
    scene.notes.pause_at = int(is_paused)
    link.data_received(bytes(1000))
    assert scene.socket.is_read is not is_paused
    link.data_received(bytes(256_000))
    assert not scene.socket.is_read
    await asyncio.sleep(0)
    assert scene.socket.is_read is not is_paused
    link.resume_reading()
    assert scene.socket.is_read
    assert [len(piece) for piece in scene.notes.received] == [1000, 256_000]


@pytest.mark.parametrize("pings", [1, 3])
async def test_a_pong_keeps_its_place_and_names_its_ping(pings: int) -> None:
    scene = Scene()
    scene.link.data_received(b"".join(Frame(Opcode.PING, b"p%d" % number).serialize(mask=True) for number in range(pings)))
    scene.link.outbox.offer(b"later")
    await asyncio.sleep(0)
    assert scene.socket.written == b"".join(b"\x8a\x02p%d" % number for number in range(pings)) + b"later"


async def test_a_great_many_messages_of_sockjs_in_one_are_taken_as_one() -> None:
    texts = ["\n"] * 10_000
    scene = Scene(is_sockjs=True)
    scene.link.data_received(Frame(Opcode.TEXT, json.dumps(texts).encode()).serialize(mask=True))
    await settle(scene)
    assert scene.notes.received == ["".join(texts).encode()]
    session = SockJsLink(scene.sockjs, "id", "sockjs-xhr", "somewhere")
    await session.receive([text.encode() for text in texts])
    assert scene.notes.received == ["".join(texts).encode()]


@pytest.mark.parametrize("is_half", [False, True])
async def test_messages_of_sockjs_that_came_before_the_end_are_taken_though_the_receiver_pauses(*, is_half: bool) -> None:
    scene = Scene(is_sockjs=True)
    scene.notes.pause_at = 1
    scene.link.data_received(b"".join(Frame(Opcode.TEXT, b'["%d"]' % number).serialize(mask=True) for number in range(3)))
    assert scene.notes.received == [b"0"]
    if is_half:
        scene.link.eof_received()
    else:
        scene.link.connection_lost(None)
    assert scene.notes.received == [b"0", b"12"]


async def test_fragments_of_a_message_of_sockjs_take_no_more_memory_than_what_is_in_them() -> None:
    scene = Scene(is_sockjs=True)
    scene.link.data_received(Frame(Opcode.TEXT, b'["', fin=False).serialize(mask=True))
    empty = Frame(Opcode.CONT, b"", fin=False).serialize(mask=True) * 600
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(60):
        scene.link.data_received(empty)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000
    scene.link.data_received(Frame(Opcode.CONT, b'x"]').serialize(mask=True))
    assert scene.notes.received == [b"x"]
