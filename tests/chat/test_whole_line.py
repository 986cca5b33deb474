"""A message's whole way over a real store: intake, outbox, relay, feed, reader; and back again by recovery and history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from stompgate.chat.feeds import FeedLimits, Feeds
from stompgate.chat.history import History
from stompgate.chat.intake import Intake, IntakeLimits
from stompgate.chat.outbox import Outbox, OutboxLimits, Owed
from stompgate.chat.recovery import RecoveryLimits
from stompgate.model.messages import Draft
from stompgate.model.records import ChatRecord, Record, RoomChanged
from stompgate.ports.store import Outcome, Stored
from stompgate.relays.local import LocalRelay
from stompgate.stores.sqlite import SqliteStore
from tests.fakes import FakeClock

from .audience import House, Reader

ROOM = "8d1b0c3e-6f0a-4c1e-9f53-1c7a4f0f7d11"
DEADLINE_S = 30.0


class Line:
    """One server's chat on an SQLite file. Its relay loses every third record."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.relay = LocalRelay()
        self.relay.listen(self)
        limits = FeedLimits(gap_wait_s=0.01, ring_messages=20)
        self.house = House(store, feeds=limits, recovery=RecoveryLimits(page_messages=50))
        self.outbox = Outbox(store, self.relay, FakeClock(), self.offer, OutboxLimits(), may_publish=lambda: True)
        self.intake = Intake(store, FakeClock(), self.outbox.stored, IntakeLimits(group_rows=16))
        self.outcomes: list[Outcome] = []
        self.records = 0
        self.numbers = count(1)

    def offer(self, record: Owed) -> None:
        """What was stored here is lost as well, now and then."""
        self.receive([record])

    def receive(self, records: Sequence[Record]) -> None:
        feeds: Feeds = self.house.feeds
        for record in records:
            self.records += 1
            if isinstance(record, RoomChanged):
                feeds.changed(record)
            elif isinstance(record, ChatRecord) and self.records % 3:
                feeds.offer(record.message)

    def congestion(self) -> None:
        return None

    def relay_reset(self) -> None:
        self.house.feeds.compare_now()

    def say(self, how_many: int) -> None:
        for at in range(how_many):
            draft = Draft(f"m{next(self.numbers)}", ROOM, "ann", f"message {at}", None, at, 0)
            self.intake.submit(draft, self.outcomes.append)

    async def until_given(self, reader: Reader, last_seq: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while reader.last_seq < last_seq:
                self.house.advance(0.05)
                await asyncio.sleep(0.002)


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    store = SqliteStore(tmp_path / "chat.db", server_id="s1")
    await store.open()
    await store.create_room(ROOM, buyer="ann", seller="bob", product_name="bicycle")
    line = Line(store)
    await line.relay.open()
    yield line
    await line.intake.close()
    await line.outbox.close()
    await line.house.feeds.close()
    await line.relay.close()
    await store.close()


async def test_each_reader_is_given_everything_once_and_one_who_comes_back_what_it_missed(line: Line) -> None:
    stays, leaves = Reader(line.house, ROOM), Reader(line.house, ROOM, "bob")
    await stays.subscribe()
    await leaves.subscribe()
    line.say(100)
    await line.until_given(leaves, 40)
    leaves.end()
    line.say(200)
    await line.intake.close()
    back = Reader(line.house, ROOM, "bob")
    begun = await back.subscribe(leaves.got[-1].position)
    line.house.feeds.compare_now()
    await line.until_given(stays, 300)
    await line.until_given(back, 300)
    assert begun.recovered
    assert stays.seqs == leaves.seqs + back.seqs == list(range(1, 301))
    assert all(isinstance(outcome, Stored) for outcome in line.outcomes)
    assert len(line.outcomes) == 300
    pages = [page async for page in History(line.store, 64).whole(ROOM, "ann")]
    assert [message for page in pages for message in page] == stays.got


async def test_what_is_acknowledged_is_owed_no_more(line: Line) -> None:
    line.say(50)
    await line.intake.close()
    await asyncio.sleep(0)
    await line.outbox.close()
    assert list(await line.store.unrelayed(100)) == []


async def test_a_deleted_room_is_left_by_all_and_takes_nothing_more(line: Line) -> None:
    reader = Reader(line.house, ROOM)
    await reader.subscribe()
    change = await line.store.delete_room(ROOM)
    assert change is not None
    line.outbox.announce(change)
    async with asyncio.timeout(DEADLINE_S):
        while reader.is_live:  # noqa: ASYNC110 what is waited for happens in a thread of the store
            await asyncio.sleep(0.002)
    line.say(1)
    await line.intake.close()
    assert not isinstance(line.outcomes[0], Stored)
    assert reader.seqs == []
