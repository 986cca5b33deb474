"""Those who listen to rooms, as the gateway has them: they check what they are given, and note it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from stompgate.access.authoriser import RoomAuthoriser
from stompgate.broker.destinations import room_destination
from stompgate.chat.feeds import FeedLimits, Feeds
from stompgate.chat.recovery import Begun, Recovery, RecoveryLimits
from stompgate.chat.rooms import RoomLimits, Rooms
from stompgate.model.destinations import Destination, Kind
from stompgate.model.messages import ChatMessage
from stompgate.model.records import RoomChanged
from stompgate.model.rooms import Members
from stompgate.model.sessions import Identity
from stompgate.ports.store import Store
from tests.fakes import FakeClock
from tests.steered_store import SteeredStore

TURNS = 200
"""More turns of the loop than anything here takes that does not wait for the clock."""


async def settle() -> None:
    """Let everything go on that can."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class House:
    """A server's chat, from the store to its listeners. ``events`` is what the feeds told, in order.

    ``store`` is a test's own, unless the chat is ``kept_in`` another.
    """

    def __init__(
        self,
        kept_in: Store | None = None,
        *,
        feeds: FeedLimits | None = None,
        recovery: RecoveryLimits | None = None,
    ) -> None:
        self.store = SteeredStore()
        store = kept_in or self.store
        self.clock = FakeClock()
        self.relay_is_up = True
        self.announced: list[RoomChanged] = []
        self.rooms = Rooms(store, self.announced.append, RoomLimits())
        self.went_back: list[str] = []
        self.feeds = Feeds(
            store, self.rooms, self.clock, lambda: self.relay_is_up, feeds or FeedLimits(), went_back=self.went_back.append
        )
        self.feeds.listen(self)
        self.recovery = Recovery(store, self.feeds, recovery or RecoveryLimits())
        self.authoriser = RoomAuthoriser(self.rooms)
        self.events: list[tuple[str, int]] = []
        self.live: dict[str, list[Reader]] = {}

    def deliver(self, message: ChatMessage) -> None:
        self.events.append((message.room, message.seq))
        for reader in list(self.live.get(message.room, ())):
            reader.take(message)

    def members_changed(self, room: str, members: Members | None) -> None:
        self.events.append(("members of " + room, 0 if members is None else members.version))
        for reader in list(self.live.get(room, ())):
            if members is None or members.deleted or reader.user not in members.users:
                reader.end()

    def let_through(self, room: str) -> list[int]:
        return [seq for told, seq in self.events if told == room]

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class Reader:
    """One user's subscription to one room: recovery's ``Follower``, behaving as the gateway's does."""

    def __init__(self, house: House, room: str, user: str = "ann") -> None:
        self.house = house
        self.user = user
        self.feed = house.feeds.acquire(room)
        self.last_seq = 0
        self.got: list[ChatMessage] = []
        self.removed_in: int | None = None  # the version of the members from which on nothing may come
        self.blocked: asyncio.Future[None] | None = None
        self.full_at: int | None = None  # given so many it must acknowledge
        self.pages_while_blocked = 0
        self.is_live = True
        self.catch_ups = 0
        self._version = 0
        self._task: asyncio.Task[None] | None = None
        self._destination = Destination(room_destination(room), Kind.ROOM, room)

    async def subscribe(self, since: str | None = None) -> Begun:
        await self._check()
        return await self.house.recovery.begin(self.feed, self, since)

    @property
    def seqs(self) -> list[int]:
        return [message.seq for message in self.got]

    @property
    def is_joined(self) -> bool:
        return self in self.house.live.get(self.feed.room, ())

    def take(self, message: ChatMessage) -> None:
        if self.last_seq == message.seq - 1:
            self.give(message)
        elif self.last_seq < message.seq:
            self.house.live[self.feed.room].remove(self)
            self.catch_ups += 1
            self._task = asyncio.create_task(self.house.recovery.catch_up(self.feed, self))

    def end(self) -> None:
        self.is_live = False
        if self._task is not None:
            self._task.cancel()
        if self.is_joined:
            self.house.live[self.feed.room].remove(self)
        self.house.feeds.release(self.feed)

    # The follower

    @property
    def is_full(self) -> bool:
        return self.full_at is not None and len(self.got) >= self.full_at

    def begin_after(self, seq: int) -> None:
        assert not self.is_joined
        self.last_seq = seq

    def give(self, message: ChatMessage) -> None:
        assert self.is_live
        assert message.seq > self.last_seq
        assert self.removed_in is None or message.members_version < self.removed_in, "stored after the removal"
        self.last_seq = message.seq
        self.got.append(message)
        if self.blocked is not None:
            self.pages_while_blocked += 1

    def drained(self) -> Awaitable[None] | None:
        if self.is_full and self.blocked is None:
            self.blocked = asyncio.get_running_loop().create_future()
        return None if self.blocked is None else asyncio.shield(self.blocked)

    def may_receive(self, members_version: int) -> Awaitable[None] | None:
        return None if members_version <= self._version else self._check()

    def join(self) -> None:
        assert not self.is_joined
        assert self.last_seq >= self.feed.position
        self.house.live.setdefault(self.feed.room, []).append(self)

    async def _check(self) -> None:
        waiting = self.house.authoriser.may_subscribe(Identity(self.user), self._destination)
        if waiting is not None:
            await waiting
        known = self.house.rooms.known(self.feed.room)
        self._version = known.version if known is not None else 0
