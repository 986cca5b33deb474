"""What is the local relay's own: its bound, and a record published while records are handed over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from stompgate.model.records import Record, RoomChanged
from stompgate.ports.part import PartDown
from stompgate.ports.relay import Answer
from stompgate.relays.local import LocalHub, LocalRelay


def record(version: int) -> RoomChanged:
    return RoomChanged("room", version, deleted=False, epoch="epoch")


class Listener:
    """Keeps batches, and publishes the records in ``replies`` from within ``receive``."""

    def __init__(self, relay: LocalRelay) -> None:
        self.batches: list[list[Record]] = []
        self.replies: list[Record] = []
        self._relay = relay

    def receive(self, records: Sequence[Record]) -> None:
        self.batches.append(list(records))
        while self.replies:
            self._relay.publish(self.replies.pop())

    def congestion(self) -> None:
        return None

    def relay_reset(self) -> None: ...


async def open_relay(hub: LocalHub | None = None) -> tuple[LocalRelay, Listener]:
    relay = LocalRelay(hub)
    listener = Listener(relay)
    relay.listen(listener)
    await relay.open()
    return relay, listener


async def test_what_is_published_in_a_tick_comes_as_one_batch() -> None:
    relay, listener = await open_relay()
    for version in (1, 2, 3):
        relay.publish(record(version))
    await asyncio.sleep(0)
    assert listener.batches == [[record(1), record(2), record(3)]]


async def test_what_is_published_while_records_are_handed_over_comes_in_the_next_tick() -> None:
    relay, listener = await open_relay()
    listener.replies.append(record(2))
    relay.publish(record(1))
    await asyncio.sleep(0)
    assert listener.batches == [[record(1)]]
    await asyncio.sleep(0)
    assert listener.batches == [[record(1)], [record(2)]]


async def test_beyond_the_bound_records_are_refused_until_the_next_tick() -> None:
    relay, listener = await open_relay(LocalHub(max_records=2))
    answers: list[tuple[int, Answer]] = []
    for version in (1, 2, 3):
        relay.publish(record(version), lambda reached, version=version: answers.append((version, reached)))  # type: ignore[misc]
    await asyncio.sleep(0)
    relay.publish(record(4), lambda reached: answers.append((4, reached)))
    await asyncio.sleep(0)
    assert dict(answers) == {1: Answer.TAKEN, 2: Answer.TAKEN, 3: Answer.UNKNOWN, 4: Answer.TAKEN}
    assert listener.batches == [[record(1), record(2)], [record(4)]]


async def test_a_relay_that_left_hears_nothing_more() -> None:
    hub = LocalHub()
    (relay, listener), (other, others) = await open_relay(hub), await open_relay(hub)
    other.publish(record(1))
    await relay.close()
    other.publish(record(2))
    await asyncio.sleep(0)
    assert listener.batches == [[record(1)]]
    assert others.batches == [[record(1)], [record(2)]]
    with pytest.raises(PartDown):
        await relay.ping()
