"""Recovery: how a subscription to a room begins, and how it catches up, whether it starts anew, comes back or fell behind.

A follower gets each message once and in order because only its own ``last_seq`` decides: it reads page by page at the pace
of its connection, and joins the live set in the one step in which nothing is missing any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from stompgate.model.messages import ChatMessage, Position, mark_of
from stompgate.ports.store import Store

from .feeds import Feed, Feeds


class Follower(Protocol):
    """A subscription to a room as recovery sees it."""

    @property
    def last_seq(self) -> int:
        """The number of the last message given to it."""

    def begin_after(self, seq: int) -> None:
        """Set ``last_seq`` without giving anything."""

    def give(self, message: ChatMessage) -> None:
        """Send a message to the client, and take its number as ``last_seq``."""

    def drained(self) -> Awaitable[None] | None:
        """None if the connection takes more now, else an awaitable that ends when it does."""

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
    """``missed_messages``: more than that are not replayed; ``page_messages``: per read."""

    missed_messages: int = 10_000
    page_messages: int = 200


class Recovery:
    """Begins subscriptions to rooms and brings them up to date. All methods raise ``StoreUnavailable``."""

    def __init__(self, store: Store, feeds: Feeds, limits: RecoveryLimits) -> None:
        self._store = store
        self._feeds = feeds
        self._limits = limits

    async def begin(self, feed: Feed, follower: Follower, since: str | None) -> Begun:
        """Bring a new follower of an acquired feed into the live set, after what came since ``since`` if that is whole."""
        await self._feeds.ready(feed)
        recovered = None
        if since is not None:
            position = Position.parse(since)
            recovered = position is not None and await self._is_whole(feed.room, position)
            if position is not None and recovered:
                follower.begin_after(position.seq)
                await self.catch_up(feed, follower)
        if not recovered:
            follower.begin_after(feed.position)
            follower.join()
        return Begun(recovered, await self._position_at(feed.room, follower.last_seq))

    async def catch_up(self, feed: Feed, follower: Follower) -> None:
        """Give a follower what it has missed, then let it join."""
        while follower.last_seq < (target := feed.position):
            page = feed.recent_after(follower.last_seq)
            if page is None:
                page = await self._store.history(feed.room, after=follower.last_seq, limit=self._limits.page_messages)
                whole = len(page) < self._limits.page_messages
            else:
                whole = True
            await self._check(follower, page)
            for message in page:
                if message.seq > follower.last_seq:
                    follower.give(message)
            if whole and follower.last_seq < target:
                follower.begin_after(target)  # what is absent up to there was pruned
            waiting = follower.drained()
            if waiting is not None:
                await waiting
        follower.join()

    async def _check(self, follower: Follower, page: Sequence[ChatMessage]) -> None:
        newest = max((message.members_version for message in page), default=0)
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

    async def _position_at(self, room: str, seq: int) -> str:
        row = await self._store.message_at(room, seq) if seq > 0 else None
        return str(Position(self._store.epoch, seq, mark_of(row.id) if row is not None else ""))
