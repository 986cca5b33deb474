"""Whatever the order in which the store answers and the relay loses, repeats and reorders: each reader is given a room's
messages once, in order, without holes, and none that was stored after its removal.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from stompgate.chat.feeds import FeedLimits
from stompgate.chat.recovery import RecoveryLimits
from stompgate.model.causes import Refusal
from stompgate.model.messages import ChatMessage
from stompgate.ports.store import StoreUnavailable

from .audience import House, Reader, settle

ROOM = "r1"
SCHEDULES = 1000
STEPS = 60


class Schedule:
    """One random life of a room."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        limits = FeedLimits(
            ring_messages=chance.choice([0, 2, 5]),
            held_messages=chance.choice([1, 3, 50]),
            page_messages=chance.choice([1, 2, 50]),
        )
        recovery = RecoveryLimits(page_messages=chance.choice([1, 3, 50]), burst_bytes=chance.choice([1, 2000, 65536]))
        self.house = House(feeds=limits, recovery=recovery)
        self.house.store.make_room(ROOM, "ann", "bob")
        self.house.store.before = self.house.store.after = self._wander
        self.on_the_way: list[ChatMessage] = []
        self.stored: list[ChatMessage] = []
        self.readers: list[Reader] = []
        self.begins: list[tuple[Reader, ChatMessage | None, asyncio.Task[object]]] = []
        self.bob_is_gone = False

    async def _wander(self, name: str) -> None:
        for _ in range(self.chance.randrange(5)):
            await asyncio.sleep(0)

    async def run(self) -> None:
        self.house.feeds.start()
        steps = [self._say] * 4 + [self._relay] * 6 + [self._turn] * 8 + [self._subscribe] * 2
        steps += [self._time, self._leave, self._reset, self._trouble, self._slow, self._remove]
        for _ in range(STEPS):
            self.chance.choice(steps)()
            await asyncio.sleep(0)
        await self._rest()

    def _say(self) -> None:
        message = self.house.store.put(ROOM)
        self.stored.append(message)
        self.on_the_way += [message] * self.chance.choice([0, 1, 1, 1, 2])

    def _relay(self) -> None:
        if self.on_the_way:
            at = 0 if self.chance.random() < 0.7 else self.chance.randrange(len(self.on_the_way))
            self.house.feeds.offer(self.on_the_way.pop(at))

    def _turn(self) -> None:
        """Only a turn of the loop."""

    def _subscribe(self) -> None:
        reader = Reader(self.house, ROOM, self.chance.choice(["ann", "ann", "bob"]))
        if self.bob_is_gone and reader.user == "bob":
            reader.removed_in = 2
        seen = self.chance.choice(self.stored) if self.stored and self.chance.random() < 0.7 else None
        task: asyncio.Task[object] = asyncio.create_task(reader.subscribe(seen.position if seen else None))
        self.readers.append(reader)
        self.begins.append((reader, seen, task))

    def _time(self) -> None:
        self.house.advance(self.chance.choice([0.1, 0.3, 2, 31]))

    def _leave(self) -> None:
        living = [begin for begin in self.begins if begin[0].is_live]
        if living:
            reader, _, task = self.chance.choice(living)
            task.cancel()
            reader.end()

    def _reset(self) -> None:
        if self.chance.random() < 0.5:
            self.on_the_way.clear()
        self.house.feeds.compare_now()

    def _trouble(self) -> None:
        self.house.store.down = not self.house.store.down
        self.house.relay_is_up = self.chance.random() < 0.5

    def _slow(self) -> None:
        loop = asyncio.get_running_loop()
        for reader in self.readers:
            if reader.blocked is not None:
                reader.blocked.set_result(None)
                reader.blocked = None
            elif self.chance.random() < 0.3:
                reader.blocked = loop.create_future()

    def _remove(self) -> None:
        if self.bob_is_gone or self.chance.random() < 0.7:
            return
        self.bob_is_gone = True
        change = self.house.store.remove(ROOM, "bob")
        for reader in self.readers:
            if reader.user == "bob":
                reader.removed_in = change.members_version
        if self.chance.random() < 0.5:
            self.house.feeds.changed(change)

    async def _rest(self) -> None:
        """Everything works again, and time passes."""
        self.house.store.down = False
        for reader in self.readers:
            if reader.blocked is not None:
                reader.blocked.set_result(None)
                reader.blocked = None
        for _ in range(4):
            await settle()
            self.house.advance(31)
        await settle()
        for reader, seen, task in self.begins:
            await self._judge(reader, seen, task)
        for reader in self.readers:
            if reader.is_live:
                reader.end()
        assert not self.house.feeds._feeds
        await self.house.feeds.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    async def _judge(self, reader: Reader, seen: ChatMessage | None, task: asyncio.Task[object]) -> None:
        given = reader.seqs
        if given:
            assert given == list(range(given[0], given[-1] + 1)), "a hole, a repeat, or out of order"
        assert task.done()
        if task.cancelled() or (error := task.exception()) is not None:
            if not task.cancelled():
                assert isinstance(error, Refusal | StoreUnavailable), error
            if reader.is_live:
                reader.end()
            return
        if given and seen is not None:
            assert given[0] == seen.seq + 1, "nothing between what was seen and what is given"
        if reader.is_live:
            failed = reader._task is not None and reader._task.done() and reader._task.exception() is not None
            assert failed or reader.last_seq == len(self.stored), "everything arrives at last"
            assert not (self.bob_is_gone and reader.user == "bob"), "whoever was removed is put out at last"


@pytest.mark.parametrize("part", range(5))
async def test_readers_are_given_each_message_once_in_order_without_holes(part: int) -> None:
    for seed in range(part * SCHEDULES // 5, (part + 1) * SCHEDULES // 5):
        try:
            await Schedule(seed).run()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
