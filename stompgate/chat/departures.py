"""Users whom another program has deleted: their rooms go with them, for both sides of the talk.

It is told by the relay, and must not return before every room is deleted in the store: what it has returned from is not
told again.
"""

from __future__ import annotations

import structlog

from .rooms import Rooms

_log = structlog.get_logger()


class Departures:
    """Forgets users."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self.departed = 0

    async def depart(self, user: str) -> None:
        """Delete all rooms of a user. Raises ``StoreUnavailable`` or ``OutcomeUnknown`` if not all are."""
        rooms = {room_user.room.uuid for room_user in await self._rooms.of_user(user)}
        for room in sorted(rooms):
            await self._rooms.delete_for_good(room, user)
        self.departed += 1
        _log.info("a user was deleted elsewhere", user=user, rooms=len(rooms))
