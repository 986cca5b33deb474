"""Rooms and their members, and what this server remembers of them.

Memory only ever speeds up a yes: a no is always read from the store first, and an answer older than a change that was
heard of is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from stompgate.model.causes import Cause, Refusal
from stompgate.model.ids import new_room_id
from stompgate.model.records import RoomChanged
from stompgate.model.rooms import Members, RoomSummary, RoomUser
from stompgate.ports.store import Store, StoreUnavailable

NAME_LIMIT_CHARS = 255
"""The longest user id or product name: what the column of the old tables held."""

_READS_FOR_A_NEWER_ANSWER = 3

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """``rooms_cached``: of how many rooms the members are remembered."""

    rooms_cached: int = 10_000


class Rooms:
    """The room service. ``announce`` is told of every change that this server made, once it is stored."""

    def __init__(self, store: Store, announce: Callable[[RoomChanged], None], limits: RoomLimits) -> None:
        self._store = store
        self._announce = announce
        self._limit = limits.rooms_cached
        self._known: dict[str, Members] = {}
        self._heard: dict[str, int] = {}  # versions heard of before they were read

    @property
    def remembered(self) -> int:
        """Of how many rooms the members are remembered."""
        return len(self._known)

    # What REST asks for

    async def create(self, *, buyer: str, seller: str, product_name: str) -> tuple[RoomUser, RoomUser]:
        """Return the seller's row and the buyer's, of a new room or of the one these two have about this product."""
        for what, value in (("buyer", buyer), ("seller", seller), ("product name", product_name)):
            if not value.strip() or len(value) > NAME_LIMIT_CHARS:
                raise Refusal(Cause.BAD_REQUEST, f"The {what} must have 1 to {NAME_LIMIT_CHARS} characters.")
        if buyer == seller:
            raise Refusal(Cause.BAD_REQUEST, "Buyer and seller must be two different users.")
        return await self._store.create_room(new_room_id(), buyer=buyer, seller=seller, product_name=product_name)

    async def of_user(self, user: str) -> Sequence[RoomUser]:
        """The rows of all of a user's rooms, in the order of their ids."""
        return await self._store.rooms_of(user)

    async def every_room_user(self) -> Sequence[RoomUser]:
        """Every row of every room, in the order of their ids."""
        return await self._store.all_room_users()

    async def summaries(self, *, user: str | None, before: int | None, limit: int) -> Sequence[RoomSummary]:
        """Up to ``limit`` living rooms, the newest first: of ``user`` if one is named, with an id below ``before``."""
        return await self._store.list_rooms(user=user, before=before, limit=limit)

    async def room_user(self, room: str, user: str) -> RoomUser:
        """A member's row. Raises ``Refusal`` (NO_SUCH_ROOM) alike for a room of others and for none."""
        found = await self._store.room_user(room, user)
        if found is None:
            raise Refusal(Cause.NO_SUCH_ROOM)
        return found

    async def delete(self, room: str, user: str) -> None:
        """Delete a room of the user's with its messages and members. Raises ``Refusal`` (NO_SUCH_ROOM)."""
        await self.room_user(room, user)
        if not await self.delete_for_good(room, user):
            raise Refusal(Cause.NO_SUCH_ROOM)

    async def delete_for_good(self, room: str, user: str) -> bool:
        """Delete a room, whoever asks; ``user`` is for the log. False: there is no living one."""
        change = await self._store.delete_room(room)
        if change is None:
            return False
        self.heard(change.room, change.members_version)
        self._announce(change)
        _log.info("room deleted", room=room, user=user)
        return True

    # Members

    def known(self, room: str) -> Members | None:
        """The members as last read, if nothing newer was heard of since."""
        return self._known.get(room)

    def version_with(self, room: str, user: str) -> int:
        """The version of the remembered members if the user is one of them, else 0: then the store looks for itself."""
        members = self._known.get(room)
        return members.version if members is not None and user in members.users else 0

    async def read(self, room: str) -> Members | None:
        """Read the members from the store and remember them. None for an unknown room. Raises ``StoreUnavailable``."""
        for _ in range(_READS_FOR_A_NEWER_ANSWER):
            members = await self._store.members(room)
            if members is None:
                self._known.pop(room, None)
                return None
            if members.version >= self._newest(room):
                self._remember(members)
                return members
        raise StoreUnavailable(f"the members of room {room} are older than a change that was announced")

    def heard(self, room: str, members_version: int) -> None:
        """A change of the members is known: what is remembered from before it is forgotten."""
        known = self._known.get(room)
        if known is not None and known.version < members_version:
            del self._known[room]
        if known is None or known.version < members_version:
            self._heard.pop(room, None)
            self._heard[room] = max(members_version, self._heard.get(room, 0))
            _forget_oldest(self._heard, self._limit)

    def _newest(self, room: str) -> int:
        """The newest version known of. Of two reads under way the later one may be answered first."""
        known = self._known.get(room)
        return max(self._heard.get(room, 0), known.version if known is not None else 0)

    def _remember(self, members: Members) -> None:
        self._heard.pop(members.room, None)
        self._known.pop(members.room, None)
        self._known[members.room] = members
        _forget_oldest(self._known, self._limit)


def _forget_oldest(remembered: dict[str, Members] | dict[str, int], limit: int) -> None:
    while len(remembered) > limit:
        del remembered[next(iter(remembered))]
