"""A tail's link: lines in their order, within a bound, and a last one that says why."""

from __future__ import annotations

import asyncio
import json

from stompgate.http.tail import FRAMING, TailLink
from stompgate.model.causes import Cause
from stompgate.stomp import answers
from stompgate.stomp.serializer import MessageTemplate, serialize
from stompgate.stomp.versions import Version

LIMIT_BYTES = 200_000


def link() -> TailLink:
    return TailLink(LIMIT_BYTES, lambda: 0.0, "local")


async def rest(tail: TailLink) -> list[bytes]:
    return [line for piece in [piece async for piece in tail.lines()] for line in piece.splitlines()]


def test_a_line_is_the_body_of_a_message_and_nothing_else_is_one() -> None:
    template = MessageTemplate.of("/sub/x", "id", [("a", "b")], b'{"content":"\\n\\n"}', Version.V1_2)
    assert FRAMING.wrap(template.for_subscription("tail"), is_text=True) == b'{"content":"\\n\\n"}\n'
    assert FRAMING.wrap(serialize(answers.error(Cause.INTERNAL, "x"), Version.V1_2), is_text=True) == b""


async def test_what_waits_at_the_close_comes_before_its_cause_and_what_comes_after_it_never() -> None:
    tail = link()
    tail.offer(b"1\n")
    tail.offer(b"2\n")
    tail.close(Cause.SERVER_STOPPING)
    tail.close(Cause.INTERNAL)
    tail.offer(b"3\n")
    *lines, last = await rest(tail)
    assert lines == [b"1", b"2"]
    assert json.loads(last) == {"end": {"code": "server-stopping", "title": "The server is going down; come back."}}


async def test_a_reader_past_the_limit_is_told_of_once_and_not_within_the_offer() -> None:
    tail, told = link(), list[int]()
    tail.too_slow = lambda: told.append(tail.waiting_bytes)
    for _ in range(3):
        tail.offer(b"x" * 100_000)
        assert told == []
    await asyncio.sleep(0)
    assert told == [300_000]


async def test_a_catch_up_waits_for_the_reader_and_no_longer_than_it_stays() -> None:
    tail = link()
    assert tail.drained() is None
    tail.offer(b"x" * 100_000)
    waiting = [asyncio.ensure_future(relief) for relief in (tail.drained(), tail.drained()) if relief is not None]
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [False, False]
    lines = tail.lines()
    await anext(lines)
    await asyncio.gather(*waiting)
    assert (tail.drained(), tail.waiting_bytes) == (None, 0)
    tail.offer(b"x" * 100_000)
    relief = tail.drained()
    assert relief is not None
    tail.close(Cause.SLOW_CONSUMER)
    await relief
