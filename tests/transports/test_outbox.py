"""Bytes wait, joined and bounded; the wheel is driven; frames are wrapped by their length."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from stompgate.timing.wheel import TimerWheel
from stompgate.transports.framing import FRAMING
from stompgate.transports.outbox import Flusher, Outbox, OutboxLimits
from stompgate.transports.ticker import Ticker
from tests.fakes import FakeClock


class Recorder(asyncio.Transport):
    """A transport that keeps what is written to it, until ``read`` takes some."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.waiting_bytes = 0
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self.waiting_bytes += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def is_closing(self) -> bool:
        return self.closing


class Scene:
    """An outbox with limits of 100 bytes and 10 s, on a wheel that a test turns."""

    def __init__(self) -> None:
        self.wheel = TimerWheel()
        self.transport = Recorder()
        self.flusher = Flusher(asyncio.get_running_loop(), self.wheel, OutboxLimits(limit_bytes=100, limit_s=10.0))
        self.given_up = 0
        self.outbox = Outbox(self.flusher, self.transport, self._too_slow)

    def _too_slow(self) -> None:
        self.given_up += 1

    def pass_s(self, seconds: float) -> None:
        self.wheel.advance(self.flusher.now_s() + seconds)


async def next_turn() -> None:
    await asyncio.sleep(0)


async def test_what_is_offered_in_one_turn_is_written_once() -> None:
    scene = Scene()
    for data in (b"a", b"b", b"c"):
        scene.outbox.offer(data)
    assert scene.transport.writes == []
    await next_turn()
    scene.outbox.offer(b"d")
    await next_turn()
    assert scene.transport.writes == [b"abc", b"d"]


async def test_a_reader_that_lets_too_many_bytes_wait_is_given_up_once() -> None:
    scene = Scene()
    scene.outbox.offer(b"x" * 90)
    await next_turn()
    scene.outbox.block()
    assert scene.given_up == 0
    for _ in range(3):
        scene.outbox.offer(b"x" * 20)
        await next_turn()
    assert scene.given_up == 1
    scene.pass_s(60)
    assert scene.given_up == 1


async def test_too_much_in_one_turn_is_given_up_in_the_next() -> None:
    scene = Scene()
    scene.outbox.offer(b"x" * 101)
    await next_turn()
    scene.outbox.block()
    await next_turn()
    assert scene.given_up == 1
    assert len(scene.wheel) == 0


async def test_a_reader_that_takes_too_long_is_given_up_but_not_after_relief() -> None:
    scene = Scene()
    scene.outbox.block()
    scene.pass_s(9.9)
    scene.outbox.relieve()
    assert len(scene.wheel) == 0
    scene.outbox.block()
    scene.pass_s(9.9)
    assert scene.given_up == 0
    scene.pass_s(10.2)
    assert scene.given_up == 1


async def test_who_waits_for_relief_is_told_of_it_and_of_the_end() -> None:
    for ends in (Outbox.relieve, Outbox.end):
        scene = Scene()
        assert scene.outbox.drained() is None
        scene.outbox.block()
        first, second = scene.outbox.drained(), scene.outbox.drained()
        assert first is not None
        assert second is not None
        ends(scene.outbox)
        await asyncio.wait_for(asyncio.gather(first, second), 5)
        assert scene.outbox.drained() is None
        assert len(scene.wheel) == 0


async def test_asking_for_relief_writes_what_waits_first() -> None:
    scene = Scene()
    scene.outbox.offer(b"x")
    assert scene.outbox.drained() is None
    assert scene.transport.writes == [b"x"]
    await next_turn()
    assert scene.transport.writes == [b"x"]


async def test_who_asks_for_relief_while_it_serves_many_loses_none_of_them_by_that() -> None:
    scene = Scene()
    scene.outbox.block()
    scene.outbox.offer(b"x" * 101)
    assert scene.outbox.drained() is not None
    assert scene.given_up == 0
    await next_turn()
    assert scene.given_up == 1


async def test_after_the_end_nothing_is_written_or_given_up() -> None:
    scene = Scene()
    scene.outbox.block()
    scene.outbox.offer(b"x")
    scene.outbox.end()
    scene.outbox.offer(b"y" * 200)
    await next_turn()
    scene.outbox.block()
    scene.pass_s(60)
    assert (scene.transport.writes, scene.given_up, len(scene.wheel)) == ([], 0, 0)


async def test_to_a_transport_that_closes_nothing_is_written() -> None:
    scene = Scene()
    scene.transport.closing = True
    scene.outbox.offer(b"x")
    await next_turn()
    assert scene.transport.writes == []


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_is_wrapped_by_its_length(length: int, head: bytes) -> None:
    frame = b"x" * length
    assert FRAMING.wrap(frame, is_text=True) == head + frame
    assert FRAMING.wrap(frame, is_text=False) == b"\x82" + head[1:] + frame


def test_a_call_that_fails_does_not_stop_the_ticks_nor_the_calls_beside_it() -> None:
    clock, wheel, made = FakeClock(), TimerWheel(0.05), []

    def fail() -> None:
        made.append("failed")
        raise ZeroDivisionError

    ticker = Ticker(wheel, clock, 0.05)
    ticker.start()
    for at_s in (0.1, 0.1, 0.3):
        wheel.schedule(clock.monotonic() + at_s, fail)
        wheel.schedule(clock.monotonic() + at_s, lambda: made.append("called"))
    with structlog.testing.capture_logs() as logs:
        clock.advance(0.2)
        assert made == ["failed", "called"] * 2
        clock.advance(0.2)
        assert made == ["failed", "called"] * 3
    assert [log["event"] for log in logs] == ["a timed call failed"] * 3
    wheel.schedule(clock.monotonic() + 0.1, fail)
    ticker.stop()
    ticker.stop()
    clock.advance(1)
    assert len(made) == 6
