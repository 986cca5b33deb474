"""A room's messages for those who may read them, page by page. It never answers for a room that is not the reader's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage
from stompgate.ports.store import Store

FIRST_SEQ = -(2**62)
"""Below every ``seq``: imported history has numbers of zero and below."""


class History:
    """Reads history. ``page_messages`` is how many messages a read of the whole takes at a time."""

    def __init__(self, store: Store, page_messages: int) -> None:
        self._store = store
        self._page_messages = page_messages

    async def page(self, room: str, user: str | None, *, before: int | None, limit: int) -> Sequence[ChatMessage]:
        """Up to ``limit`` of the newest messages below ``before``, oldest first. ``user`` None: no member check.

        Raises ``Refusal`` (NO_SUCH_ROOM).
        """
        version = await self._check(room, user)
        page = await self._store.history(room, before=before, limit=limit)
        await self._check_again(room, user, version, page)
        return page

    async def whole(self, room: str, user: str | None) -> AsyncIterator[Sequence[ChatMessage]]:
        """All messages, oldest first, a page at a time. The check comes before the first page, which may be empty.

        Raises ``Refusal`` (NO_SUCH_ROOM), also between two pages, for a reader who was removed meanwhile.
        """
        version = await self._check(room, user)
        after = FIRST_SEQ
        while True:
            page = await self._store.history(room, after=after, limit=self._page_messages)
            version = await self._check_again(room, user, version, page)
            yield page
            if len(page) < self._page_messages:
                return
            after = page[-1].seq

    async def _check(self, room: str, user: str | None) -> int:
        members = await self._store.members(room)
        if members is None or members.deleted or (user is not None and user not in members.users):
            raise Refusal(Cause.NO_SUCH_ROOM)
        return members.version

    async def _check_again(self, room: str, user: str | None, version: int, page: Sequence[ChatMessage]) -> int:
        """Whoever was removed since the check gets nothing that was stored after the removal."""
        if all(message.members_version <= version for message in page):
            return version
        return await self._check(room, user)
