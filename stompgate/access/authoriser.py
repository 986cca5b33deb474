"""The rules of who may subscribe and send where: rooms are for their members, broker-only destinations for no client's SEND."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination, Kind
from stompgate.model.rooms import Members
from stompgate.model.sessions import Identity
from stompgate.ports.store import StoreUnavailable


class MembersSource(Protocol):
    """Where the members of a room are known from."""

    def known(self, room: str) -> Members | None:
        """What is remembered, if nothing newer was heard of."""

    async def read(self, room: str) -> Members | None:
        """What the store says. Raises ``StoreUnavailable``."""


class RoomAuthoriser:
    """The ports' ``Authoriser``. A session without identity, where such are let in, may listen to any room that exists."""

    def __init__(self, members: MembersSource) -> None:
        self._members = members

    def may_subscribe(self, identity: Identity, destination: Destination) -> Awaitable[None] | None:
        """Return, or give an awaitable, if yes. Raises ``Refusal`` (NO_SUCH_ROOM, BAD_DESTINATION)."""
        match destination.kind:
            case Kind.BROADCAST | Kind.OWN | Kind.QUEUE:
                return None
            case Kind.ROOM:
                return self._may_enter(identity, destination.room)
            case Kind.INTAKE:
                raise Refusal(Cause.BAD_DESTINATION, "To receive a room's messages SUBSCRIBE to /sub/chat/room/{roomUUID}.")
            case Kind.USER | Kind.REPLY:
                raise Refusal(Cause.FORBIDDEN_DESTINATION, "To receive what is sent to you SUBSCRIBE to /user/queue/…")

    def may_send(self, identity: Identity, destination: Destination) -> Awaitable[None] | None:
        """Return, or give an awaitable, if yes. Raises ``Refusal`` (NO_SUCH_ROOM, FORBIDDEN_DESTINATION, BAD_DESTINATION)."""
        if destination.is_pattern:
            raise Refusal(Cause.BAD_DESTINATION, "SEND takes one destination, not a pattern.")
        if destination.is_servers:
            raise Refusal(Cause.FORBIDDEN_DESTINATION, "Only the server sends to this destination.")
        match destination.kind:
            case Kind.INTAKE:
                return self._may_enter(identity, destination.room)
            case Kind.ROOM:
                raise Refusal(Cause.FORBIDDEN_DESTINATION, "To send to a room SEND to /pub/room/{roomUUID}/message.")
            case Kind.USER if identity.user is None:
                raise Refusal(Cause.IDENTITY_REQUIRED, "Who sends to another user must be one.")
            case _:
                return None

    def _may_enter(self, identity: Identity, room: str) -> Awaitable[None] | None:
        known = self._members.known(room)
        if known is not None and _is_open_to(known, identity):
            return None
        return self._ask(identity, room)

    async def _ask(self, identity: Identity, room: str) -> None:
        try:
            members = await self._members.read(room)
        except StoreUnavailable as error:
            raise Refusal(Cause.STORE_UNAVAILABLE, detail=str(error)) from error
        if members is None or not _is_open_to(members, identity):
            raise Refusal(Cause.NO_SUCH_ROOM)


def _is_open_to(members: Members, identity: Identity) -> bool:
    return not members.deleted and (identity.user is None or identity.user in members.users)
