"""What the parser promises beside the protocol: order, memory, and what follows a refusal."""

from __future__ import annotations

import sys
import tracemalloc
from types import FrameType

import pytest

from stompgate.model.causes import Cause
from stompgate.stomp.frames import Frame, FrameRefusal
from stompgate.stomp.parser import Limits, Parser
from stompgate.stomp.versions import Version

from .samples import SMALL, byte_by_byte, read

SEND = b"SEND\ndestination:/a\nreceipt:r1\n\nhello\0"


def read_switching_to_1_1(chunks: list[bytes]) -> list[str]:
    parser = Parser()
    commands: list[str] = []
    try:
        for chunk in chunks:
            parser.receive_bytes(chunk)
            while (frame := parser.next_frame()) is not None:
                commands.append(frame.command)
                parser.version = Version.V1_1
    except FrameRefusal as refusal:
        commands.append(refusal.cause.code)
    return commands


def test_the_version_changes_exactly_between_two_frames() -> None:
    stream = b"CONNECT\naccept-version:1.1\n\n\0SEND\na:x\\r\n\n\0"
    assert read_switching_to_1_1([stream]) == ["CONNECT", "bad-header"]
    assert read_switching_to_1_1(byte_by_byte(stream)) == ["CONNECT", "bad-header"]


def test_frames_in_a_row_are_the_same_cut_at_any_two_places() -> None:
    stream = b"SEND\na:1\ncontent-length:3\n\n\0\n\0\0\r\nACK\r\nid:1\r\n\r\n\0SEND\nb:2\n\nxy\0\nSEND\nc:\\n\n\n\n\0"
    whole = read([stream])
    assert [type(event) for event in whole] == [Frame] * 4
    for first in range(len(stream)):
        for second in range(first, len(stream)):
            assert read([stream[:first], stream[first:second], stream[second:]]) == whole


def test_a_limit_counts_each_frame_by_itself() -> None:
    frame = b"SEND\na:b\nc:d\n\n" + b"x" * 80 + b"\0"
    assert len(read(byte_by_byte(frame * 30), limits=SMALL)) == 30
    assert all(isinstance(event, Frame) for event in read(byte_by_byte(frame * 30), limits=SMALL))
    after_it = read([frame + b"SEND\na:", b"x" * 39], limits=SMALL)
    assert after_it == read([frame, b"SEND\na:" + b"x" * 39], limits=SMALL)
    assert isinstance(after_it[1], tuple)


def test_frames_wait_until_they_are_taken_while_more_bytes_come() -> None:
    parser = Parser()
    taken = []
    for number in range(50):
        parser.receive_bytes(SEND[:7])
        parser.receive_bytes(SEND[7:] + SEND)
        assert parser.buffered_bytes == len(SEND) * (number + 2)
        taken.append(parser.next_frame())
    while (frame := parser.next_frame()) is not None:
        taken.append(frame)
    assert len(taken) == 100
    assert all(frame == taken[0] for frame in taken)
    assert parser.buffered_bytes == 0


def test_the_unfinished_rest_of_a_chunk_is_kept_without_the_chunk() -> None:
    parser = Parser()
    tracemalloc.start()
    parser.receive_bytes(b"SEND\ndestination:/a\n\n" + bytes(1) + b"\n" * 1_000_000 + b"SEND\n")
    assert parser.next_frame() is not None
    assert parser.next_frame() is None
    held_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held_bytes < 10_000
    assert parser.buffered_bytes == 5


def test_nothing_is_allocated_for_a_claimed_length() -> None:
    parser = Parser(Limits(frame_bytes=2_000_000_000))
    tracemalloc.start()
    parser.receive_bytes(b"SEND\ncontent-length:1000000000\n\nabc")
    assert parser.next_frame() is None
    held_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held_bytes < 10_000


@pytest.mark.parametrize("value", [b"\\\\", b"\\c", b"\\n"])
def test_a_head_full_of_escapes_takes_as_many_steps_as_one_with_few(value: bytes) -> None:
    def steps(escapes: int) -> int:
        calls: list[str] = []

        def note(_frame: FrameType, event: str, _argument: object) -> None:
            calls.append(event)

        parser = Parser()
        parser.receive_bytes(b"SEND\na:" + value * escapes + b"\n\n\0")
        sys.setprofile(note)
        try:
            frame = parser.next_frame()
        finally:
            sys.setprofile(None)
        assert frame is not None
        assert len(frame.headers["a"]) == escapes
        return len(calls)

    assert steps(4000) == steps(4)


def test_after_a_refusal_everything_is_thrown_away() -> None:
    parser = Parser()
    parser.receive_bytes(SEND + b"NONSENSE\n\n\0" + SEND)
    assert parser.next_frame() is not None
    with pytest.raises(FrameRefusal):
        parser.next_frame()
    assert parser.next_frame() is None
    parser.receive_bytes(SEND)
    assert parser.next_frame() is None
    assert parser.buffered_bytes == 0


@pytest.mark.parametrize("rest", [SEND, SEND[:-3], b"SEND\nreceipt"])
def test_after_discard_everything_is_thrown_away(rest: bytes) -> None:
    parser = Parser()
    parser.receive_bytes(SEND + rest)
    assert parser.next_frame() is not None
    parser.discard()
    assert parser.buffered_bytes == 0
    parser.receive_bytes(SEND)
    assert parser.next_frame() is None


REFUSED_WITH_RECEIPT = [
    b"SEND\nreceipt:r1\nbad\n\n\0",
    b"SEND\nbad\nreceipt:r1\n\n\0",
    b"SEND\nreceipt:r1\ncontent-length:x\n\n\0",
    b"SEND\nreceipt:r1\ncontent-length:99999999\n\n\0",
    b"SEND\nreceipt:r1\ncontent-length:1\n\nxx\0",
    b"SUBSCRIBE\nreceipt:r1\n\nbody\0",
    b"SUBSCRIBE\nreceipt:r1\ncontent-length:2\n\nxx\0",
    b"SEND\nreceipt:r1\n\n" + b"x" * 70_000,
    b"SEND\nreceipt:r1\nx:" + b"x" * 9000,
    b"SEND\nreceipt:r1\nx\0",
]


@pytest.mark.parametrize("data", REFUSED_WITH_RECEIPT)
def test_a_refusal_names_the_receipt_that_was_asked_for(data: bytes) -> None:
    events = read([data])
    (refused,) = events
    assert isinstance(refused, tuple)
    assert refused[2] == "r1"
    assert read(byte_by_byte(data)) == events


def test_the_first_offence_in_the_stream_is_the_one_that_is_told() -> None:
    events = read([b"SEND\nx:\\t\n:\nbad\n" + b"y:" + b"y" * 9000])
    (refused,) = events
    assert isinstance(refused, tuple)
    assert refused[0] is Cause.BAD_HEADER
    assert "escape" in refused[1]


class CountingBuffer(bytearray):
    """Counts the bytes that searches in it look at."""

    looked_at = 0

    def find(self, sub: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        end = len(self) if end is None else end
        found = super().find(sub, start, end)
        CountingBuffer.looked_at += (found if found >= 0 else end) - start
        return found


@pytest.mark.parametrize(
    "data",
    [b"SEND\n\n" + b"x" * 20_000 + b"\0", b"SEND\ncontent-length:20000\n\n" + b"x" * 20_000 + b"\0", b"SEND\n" + b"a:b\n" * 60],
)
def test_a_frame_that_trickles_in_is_searched_once(data: bytes) -> None:
    parser = Parser()
    parser._buffer = CountingBuffer(data[:1])
    CountingBuffer.looked_at = 0
    frames = [parser.next_frame()]
    for byte in byte_by_byte(data[1:]):
        parser.receive_bytes(byte)
        frames.append(parser.next_frame())
    assert all(frame is None for frame in frames[:-1])
    assert (frames[-1] is not None) == data.endswith(b"\0")
    # Once for the NUL and once for line ends; the rest is small change.
    assert CountingBuffer.looked_at < 3 * len(data)
