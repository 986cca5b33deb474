"""Recovery: how a subscription to a room begins, and how it catches up, whether it starts anew, comes back or fell behind.

A follower gets each message once and in order because only its own ``last_seq`` decides: it reads page by page at the pace
of its connection, and joins the live set in the one step in which nothing is missing any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from stompgate.model.messages import ChatMessage, Position, mark_of
from stompgate.ports.store import Store

from .feeds import Feed, Feeds

_OVERHEAD_BYTES, _BYTES_PER_CHAR = 512, 4
"""What a MESSAGE has beside its content, about, and a character of it in UTF-8, at most."""


class Follower(Protocol):
    """A subscription to a room as recovery sees it."""

    @property
    def last_seq(self) -> int:
        """The number of the last message given to it."""

    def begin_after(self, seq: int) -> None:
        """Set ``last_seq`` without giving anything."""

    def give(self, message: ChatMessage) -> None:
        """Send a message to the client, and take its number as ``last_seq``."""

    @property
    def is_full(self) -> bool:
        """Whether the client must acknowledge before it is given more. ``drained`` waits for that too."""

    def drained(self) -> Awaitable[None] | None:
        """None if the client takes more now, else an awaitable that ends when it may; until the next step, not longer."""

    def may_receive(self, members_version: int) -> Awaitable[None] | None:
        """None if this follower was checked against members of that version or later, else a new check to wait for.

        Raises ``Refusal`` (also by the awaitable) if it may not receive any more.
        """

    def join(self) -> None:
        """Enter the live set: from now on messages come by delivery."""


@dataclass(frozen=True, slots=True)
class Begun:
    """How a subscription began: ``recovered`` is None if it did not ask to come back."""

    recovered: bool | None
    position: str


@dataclass(frozen=True, slots=True)
class RecoveryLimits:
    """``missed_messages``: more than that are not replayed; ``page_messages``: per read; ``burst_bytes``: given at a time."""

    missed_messages: int = 10_000
    page_messages: int = 200
    burst_bytes: int = 64 * 1024


class _Progress:
    """What a catch-up has given so far."""

    __slots__ = ("burst_bytes", "is_whole", "last")

    def __init__(self) -> None:
        self.last: ChatMessage | None = None
        self.is_whole = True  # no number was absent
        self.burst_bytes = 0


class Recovery:
    """Begins subscriptions to rooms and brings them up to date.

    All methods raise ``StoreUnavailable``, and ``Refusal`` for a room that is not there or not the follower's any more.
    Counted since the start: followers ``begun`` by how they were recovered, and ``catch_ups`` of those that fell behind.
    """

    def __init__(self, store: Store, feeds: Feeds, limits: RecoveryLimits) -> None:
        self._store = store
        self._feeds = feeds
        self._limits = limits
        self.begun: Counter[bool | None] = Counter()
        self.catch_ups = 0

    async def begin(self, feed: Feed, follower: Follower, since: str | None) -> Begun:
        """Bring a new follower of an acquired feed into the live set, after what came since ``since`` if that is whole.

        Returns in the step in which the follower joins, so that what is said of it comes before the next message.
        """
        begun = await self._begin(feed, follower, since)
        self.begun[begun.recovered] += 1
        return begun

    async def _begin(self, feed: Feed, follower: Follower, since: str | None) -> Begun:
        await self._feeds.ready(feed)
        position = Position.parse(since) if since is not None else None
        if position is None or not await self._is_whole(feed.room, position):
            await self._begin_here(feed, follower)
            return Begun(None if since is None else False, str(feed.here(self._store.epoch)))
        follower.begin_after(position.seq)
        progress = await self._bring_up(feed, follower)
        return Begun(progress.is_whole, str(self._reached(feed, follower, progress) or position))

    async def catch_up(self, feed: Feed, follower: Follower) -> None:
        """Give a follower what it has missed, then let it join."""
        self.catch_ups += 1
        await self._bring_up(feed, follower)

    async def _begin_here(self, feed: Feed, follower: Follower) -> None:
        """Join where the feed is once the follower is checked, so that nothing is given before it is told where it began."""
        while (check := follower.may_receive(feed.members_version)) is not None:
            await check
        follower.begin_after(feed.position)
        follower.join()

    async def _bring_up(self, feed: Feed, follower: Follower) -> _Progress:
        progress = _Progress()
        while True:
            if follower.last_seq >= feed.position:
                check = follower.may_receive(feed.members_version)
                if check is None:
                    follower.join()  # in one step with the two conditions
                    return progress
                await check
            else:
                while (waiting := follower.drained()) is not None:
                    await waiting
                await self._give_page(feed, follower, progress)

    async def _give_page(self, feed: Feed, follower: Follower, progress: _Progress) -> None:
        target, limit = feed.position, self._limits.page_messages
        recent = feed.recent_after(follower.last_seq)
        page = await self._store.history(feed.room, after=follower.last_seq, limit=limit) if recent is None else recent
        await self._check(feed, follower, page)
        progress.burst_bytes = self._limits.burst_bytes  # whoever took more before the page was read may not do so now
        for message in page:
            if progress.burst_bytes >= self._limits.burst_bytes:
                progress.burst_bytes = 0
                await asyncio.sleep(0)  # only what has been flushed shows whether the client keeps up
                while not follower.is_full and (waiting := follower.drained()) is not None:
                    await waiting
            if follower.is_full:  # by now: other subscriptions of its connection were given something meanwhile
                return  # it may take long: what is left is read again then, and its right to it checked
            if message.seq <= follower.last_seq:
                continue  # given meanwhile, by a fan-out that had begun before
            progress.is_whole &= message.seq == follower.last_seq + 1
            progress.last = message
            progress.burst_bytes += _OVERHEAD_BYTES + len(message.content) * _BYTES_PER_CHAR
            follower.give(message)
        if follower.last_seq < target and (recent is not None or len(page) < limit):
            follower.begin_after(target)  # what is absent up to there was pruned
            progress.is_whole = False

    async def _check(self, feed: Feed, follower: Follower, page: Sequence[ChatMessage]) -> None:
        newest = max([feed.members_version, *(message.members_version for message in page)])
        if newest > feed.members_version:
            self._feeds.members_heard(feed.room, newest)
        check = follower.may_receive(newest)
        if check is not None:
            await check

    async def _is_whole(self, room: str, position: Position) -> bool:
        """Whether the client's position is one of this store's life, and all that came after it is still there."""
        if position.epoch != self._store.epoch:
            return False
        heads = await self._store.heads([room])
        if not heads or not 0 <= position.seq <= heads[0].last_seq:
            return False
        if heads[0].last_seq - position.seq > self._limits.missed_messages:
            return False
        if position.seq > 0:
            row = await self._store.message_at(room, position.seq)
            return row is not None and mark_of(row.id) == position.mark
        first = await self._store.history(room, after=0, limit=1)
        return heads[0].last_seq == 0 or (bool(first) and first[0].seq == 1)

    def _reached(self, feed: Feed, follower: Follower, progress: _Progress) -> Position | None:
        """Where the follower is; None if it came ahead of the feed and was given nothing."""
        if progress.last is not None and progress.last.seq == follower.last_seq:
            return Position.of(progress.last)
        return feed.here(self._store.epoch) if follower.last_seq == feed.position else None
