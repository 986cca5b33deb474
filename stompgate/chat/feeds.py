"""Feeds: the rooms that someone on this server listens to, each with its sequencer.

A feed is offered every message of its room that this server stores or the relay brings, and hands them on in order. What
is missing it reads from the store. It must never hand on a message to members that it knows to be out of date.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage, Position, mark_of
from stompgate.model.records import RoomChanged
from stompgate.model.rooms import Members, RoomHead
from stompgate.ports.clock import Clock, Timer
from stompgate.ports.store import Store, StoreUnavailable

from .comparison import Comparison, ComparisonLimits
from .restored import Seen
from .rooms import Rooms
from .sequencer import Sequencer


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """``ring_messages``: recent messages kept per room; ``held_messages``: out of order; ``page_messages``: per read."""

    ring_messages: int = 100
    held_messages: int = 1_000
    page_messages: int = 200
    gap_wait_s: float = 0.2
    retry_s: float = 1.0
    compare_every_s: float = 30.0
    compare_every_down_s: float = 2.0
    rooms_per_comparison: int = 500


class FeedListener(Protocol):
    """Who delivers. Both are called on the event loop and must not raise."""

    def deliver(self, message: ChatMessage) -> None:
        """The next message of its room."""

    def members_changed(self, room: str, members: Members | None) -> None:
        """Who may receive from now on. None or ``deleted``: nobody."""


class Feed:
    """One room's sequencer, its ring of recent messages, and what is going on for it."""

    __slots__ = (
        "gap_timer",
        "heard_version",
        "is_retrying",
        "listeners",
        "members_version",
        "newest",
        "ring",
        "room",
        "sequencer",
        "work",
    )

    def __init__(self, room: str, limits: FeedLimits) -> None:
        self.room = room
        self.sequencer = Sequencer(limits.held_messages)
        self.ring: deque[ChatMessage] = deque(maxlen=limits.ring_messages)
        self.newest: ChatMessage | None = None  # let through last, or the store's last at the start
        self.members_version = 0  # of the members that were last read
        self.heard_version = 0  # the newest that was heard of
        self.listeners = 0
        self.gap_timer: Timer | None = None
        self.is_retrying = False  # the store failed: nothing is read before the timer says so
        self.work: asyncio.Task[Cause | None] | None = None

    @property
    def position(self) -> int:
        """The highest ``seq`` let through. Only asked once the feed is ready."""
        return self.sequencer.position or 0

    @property
    def seen(self) -> Seen:
        """What is known of the room by now."""
        return Seen(self.position, self.members_version)

    def here(self, epoch: str) -> Position:
        """``position`` as clients are told it."""
        newest = self.newest
        mark = mark_of(newest.id) if newest is not None and newest.seq == self.position else ""
        return Position(epoch, self.position, mark)

    def recent_after(self, seq: int) -> Sequence[ChatMessage] | None:
        """The messages above ``seq`` where the ring has them all, else None."""
        if seq >= self.position:
            return ()
        if not self.ring or self.ring[0].seq > seq + 1:
            return None
        return [message for message in self.ring if message.seq > seq]


class Feeds:
    """All feeds of this server. ``relay_is_up`` tells whether a missing message may still come by itself.

    ``went_back`` is told, with a sentence for the operator, if the store is found to be older than it was. ``len`` counts the
    rooms. Counted since the start: ``repeats`` dropped, ``gaps`` that were read from the store, records of a ``wrong_epoch``.
    """

    def __init__(
        self,
        store: Store,
        rooms: Rooms,
        clock: Clock,
        relay_is_up: Callable[[], bool],
        limits: FeedLimits,
        *,
        went_back: Callable[[str], None],
    ) -> None:
        self._store = store
        self._rooms = rooms
        self._clock = clock
        self._relay_is_up = relay_is_up
        self._limits = limits
        self._went_back = went_back
        self._feeds: dict[str, Feed] = {}
        self._listener: FeedListener | None = None
        rhythm = ComparisonLimits(limits.compare_every_s, limits.compare_every_down_s, limits.retry_s)
        self._comparison = Comparison(self._compare, clock, relay_is_up, rhythm)
        self.wrong_epoch = 0
        self.repeats = 0
        self.gaps = 0

    def __len__(self) -> int:
        return len(self._feeds)

    def listen(self, listener: FeedListener) -> None:
        """Name the one listener, before anything else."""
        self._listener = listener

    def start(self) -> None:
        """Begin the regular comparison with the store."""
        self._comparison.start()

    async def close(self) -> None:
        """Stop all reads and timers."""
        await self._comparison.close()
        feeds = list(self._feeds.values())
        self._feeds.clear()
        for feed in feeds:
            self._stop(feed)
        await asyncio.gather(*(feed.work for feed in feeds if feed.work is not None), return_exceptions=True)

    def acquire(self, room: str) -> Feed:
        """Begin to listen to a room. From now on its feed is offered messages; it is ready after ``ready``."""
        feed = self._feeds.get(room)
        if feed is None:
            feed = self._feeds[room] = Feed(room, self._limits)
        feed.listeners += 1
        return feed

    def release(self, feed: Feed) -> None:
        """End what one ``acquire`` began."""
        feed.listeners -= 1
        if feed.listeners == 0 and self._feeds.get(feed.room) is feed:
            del self._feeds[feed.room]
            self._stop(feed)

    async def ready(self, feed: Feed) -> None:
        """Wait until the feed knows where it starts. Raises ``Refusal`` (NO_SUCH_ROOM, STORE_UNAVAILABLE)."""
        while feed.sequencer.position is None:
            if feed.work is None:
                feed.work = asyncio.create_task(self._begin(feed), name=f"feed {feed.room} begins")
            cause = await asyncio.shield(feed.work)
            if cause is not None:
                raise Refusal(cause, detail=f"the feed of room {feed.room} could not begin")

    def offer(self, message: ChatMessage) -> None:
        """A message was stored here or came by the relay."""
        feed = self._feeds.get(message.room)
        if feed is None:
            return
        if message.epoch != self._store.epoch:
            self.wrong_epoch += 1
            return
        self._hear(feed, message.members_version)
        through = feed.sequencer.offer(message)
        if through:
            self._hand_on(feed, through)
        elif message.seq <= feed.position:
            self.repeats += 1
        self._look_after(feed)

    def members_heard(self, room: str, members_version: int) -> None:
        """A room's members changed somewhere: they are read before anything more is handed on."""
        self._rooms.heard(room, members_version)
        feed = self._feeds.get(room)
        if feed is not None:
            self._hear(feed, members_version)
            self._look_after(feed)

    def changed(self, record: RoomChanged) -> None:
        """A room lost a member or was deleted, here or elsewhere. A record of another life of the store is dropped."""
        if record.epoch == self._store.epoch:
            self.members_heard(record.room, record.members_version)
        else:
            self.wrong_epoch += 1

    def compare_now(self) -> None:
        """Records may have been missed: compare all rooms with the store."""
        self._comparison.now()

    # One room

    async def _begin(self, feed: Feed) -> Cause | None:
        try:
            members = await self._rooms.read(feed.room)
            if members is None:
                return Cause.NO_SUCH_ROOM
            if members.last_seq > 0:
                feed.newest = await self._store.message_at(feed.room, members.last_seq)
        except StoreUnavailable:
            return Cause.STORE_UNAVAILABLE
        finally:
            feed.work = None
        if members.version >= feed.heard_version:
            feed.sequencer.resume()
        feed.members_version = members.version
        self._hand_on(feed, feed.sequencer.start(members.last_seq))
        self._look_after(feed)  # for what was heard of meanwhile
        return None

    def _hand_on(self, feed: Feed, messages: Sequence[ChatMessage]) -> None:
        for message in messages:
            feed.newest = message
            feed.ring.append(message)
            self._told().deliver(message)

    def _told(self) -> FeedListener:
        assert self._listener is not None, "listen() comes first"
        return self._listener

    def _hear(self, feed: Feed, members_version: int) -> None:
        if members_version > max(feed.members_version, feed.heard_version):
            self._rooms.heard(feed.room, members_version)
            feed.heard_version = members_version
            feed.sequencer.pause()

    def _look_after(self, feed: Feed) -> None:
        """See to it that what is missing will be read: members at once, messages after a short wait for the relay."""
        if feed.work is not None or feed.is_retrying or feed.sequencer.position is None:
            return
        if feed.heard_version > feed.members_version:
            self._read(feed)
        elif feed.sequencer.is_behind and feed.gap_timer is None:
            wait_s = self._limits.gap_wait_s if self._relay_is_up() else 0.0
            feed.gap_timer = self._clock.call_later(wait_s, lambda: self._read(feed))

    def _read(self, feed: Feed) -> None:
        if feed.gap_timer is not None:
            feed.gap_timer.cancel()
            feed.gap_timer = None
        feed.is_retrying = False
        if feed.work is None and feed.listeners > 0:
            feed.work = asyncio.create_task(self._fill(feed), name=f"feed {feed.room} reads")

    async def _fill(self, feed: Feed) -> None:
        try:
            if feed.heard_version > feed.members_version:
                await self._read_members(feed)
            self.gaps += feed.sequencer.is_behind
            while feed.sequencer.is_behind:
                await self._read_page(feed)
        except StoreUnavailable:
            feed.is_retrying = True
            feed.gap_timer = self._clock.call_later(self._limits.retry_s, lambda: self._read(feed))
            return
        finally:
            feed.work = None
        self._look_after(feed)  # for what was heard of meanwhile

    async def _read_members(self, feed: Feed) -> None:
        members = await self._rooms.read(feed.room)
        feed.members_version = feed.heard_version if members is None else members.version
        self._told().members_changed(feed.room, members)
        if feed.members_version >= feed.heard_version:
            self._hand_on(feed, feed.sequencer.resume())

    async def _read_page(self, feed: Feed) -> None:
        sequencer = feed.sequencer
        sequencer.asking()
        seen = feed.seen
        heads = await self._store.heads([feed.room])
        for head in heads:
            self._judge(head, seen)
        last_seq = heads[0].last_seq if heads and not heads[0].deleted else feed.position
        limit = self._limits.page_messages
        rows = await self._store.history(feed.room, after=feed.position, limit=limit)
        if heads:
            self._hear(feed, heads[0].members_version)
        if rows:
            self._hear(feed, rows[-1].members_version)  # versions rise with ``seq``
        if feed.heard_version > feed.members_version:
            await self._read_members(feed)
        self._hand_on(feed, sequencer.fill(last_seq, rows, complete=len(rows) < limit))

    def _stop(self, feed: Feed) -> None:
        if feed.gap_timer is not None:
            feed.gap_timer.cancel()
            feed.gap_timer = None
        if feed.work is not None:
            feed.work.cancel()

    # All rooms

    async def _compare(self) -> bool:
        """Compare, in slices of rooms. Returns whether the store answered."""
        rooms = list(self._feeds)
        for at in range(0, len(rooms), self._limits.rooms_per_comparison):
            asked = [feed for room in rooms[at : at + self._limits.rooms_per_comparison] if (feed := self._feeds.get(room))]
            seen = {feed.room: feed.seen for feed in asked}
            try:
                for head in await self._store.heads(list(seen)):
                    self._judge(head, seen[head.room])
                    feed = self._feeds.get(head.room)
                    if feed is not None:
                        feed.sequencer.hear_of(head.last_seq)
                        self.members_heard(head.room, head.members_version)
            except StoreUnavailable:
                return False
        return True

    def _judge(self, head: RoomHead, seen: Seen) -> None:
        """Compare what was read with what was seen before it was asked for. Raises ``StoreUnavailable`` for another past."""
        objection = seen.objection(head)
        if objection:
            self._went_back(objection)
            raise StoreUnavailable(objection)
