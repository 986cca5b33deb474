"""Who may subscribe and send where, as a table; a no is never given from memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from stompgate.access.authoriser import RoomAuthoriser
from stompgate.broker.destinations import read_destination
from stompgate.chat.rooms import RoomLimits, Rooms
from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination
from stompgate.model.sessions import ANONYMOUS, Identity
from tests.steered_store import SteeredStore

ROOM, DELETED = "r1", "r2"
MEMBER, STRANGER = Identity("ann"), Identity("eve")

May = Callable[[Identity, Destination], Awaitable[None] | None]
Asked = tuple[str, Identity, str, Cause | None]

TABLE: list[Asked] = [
    ("subscribe", MEMBER, f"/sub/chat/room/{ROOM}", None),
    ("subscribe", STRANGER, f"/sub/chat/room/{ROOM}", Cause.NO_SUCH_ROOM),
    ("subscribe", ANONYMOUS, f"/sub/chat/room/{ROOM}", None),
    ("subscribe", MEMBER, f"/sub/chat/room/{DELETED}", Cause.NO_SUCH_ROOM),
    ("subscribe", ANONYMOUS, f"/sub/chat/room/{DELETED}", Cause.NO_SUCH_ROOM),
    ("subscribe", MEMBER, "/sub/chat/room/nowhere", Cause.NO_SUCH_ROOM),
    ("subscribe", ANONYMOUS, "/sub/chat/room/nowhere", Cause.NO_SUCH_ROOM),
    ("subscribe", MEMBER, f"/pub/room/{ROOM}/message", Cause.BAD_DESTINATION),
    ("subscribe", ANONYMOUS, f"/pub/room/{ROOM}/message", Cause.BAD_DESTINATION),
    ("subscribe", STRANGER, "/topic/news", None),
    ("subscribe", ANONYMOUS, "/topic/**", None),
    ("subscribe", STRANGER, "/sub/**", None),
    ("send", MEMBER, f"/pub/room/{ROOM}/message", None),
    ("send", STRANGER, f"/pub/room/{ROOM}/message", Cause.NO_SUCH_ROOM),
    ("send", MEMBER, f"/pub/room/{DELETED}/message", Cause.NO_SUCH_ROOM),
    ("send", MEMBER, "/pub/room/nowhere/message", Cause.NO_SUCH_ROOM),
    ("send", MEMBER, f"/sub/chat/room/{ROOM}", Cause.FORBIDDEN_DESTINATION),
    ("send", ANONYMOUS, f"/sub/chat/room/{ROOM}", Cause.FORBIDDEN_DESTINATION),
    ("send", STRANGER, "/topic/news", None),
    ("send", ANONYMOUS, "/sub/news", None),
    ("send", MEMBER, "/topic/*", Cause.BAD_DESTINATION),
    ("send", MEMBER, "/sub/chat/**", Cause.BAD_DESTINATION),
]


class Door:
    def __init__(self) -> None:
        self.store = SteeredStore()
        self.store.make_room(ROOM, "ann", "bob")
        self.store.make_room(DELETED, "ann", "bob")
        self.rooms = Rooms(self.store, lambda change: None, RoomLimits())
        self.authoriser = RoomAuthoriser(self.rooms)

    async def ask(self, command: str, identity: Identity, destination: str) -> Cause | None:
        may = self.authoriser.may_subscribe if command == "subscribe" else self.authoriser.may_send
        try:
            waiting = may(identity, read_destination(destination))
            if waiting is not None:
                await waiting
        except Refusal as refusal:
            return refusal.cause
        return None


@pytest.fixture
async def door() -> Door:
    door = Door()
    await door.store.delete_room(DELETED)
    return door


@pytest.mark.parametrize("is_remembered", [False, True])
@pytest.mark.parametrize(("command", "identity", "destination", "expected"), TABLE)
async def test_the_table_holds(
    door: Door, command: str, identity: Identity, destination: str, expected: Cause | None, is_remembered: bool
) -> None:
    if is_remembered:
        for room in (ROOM, DELETED):
            await door.rooms.read(room)
    assert await door.ask(command, identity, destination) is expected


async def test_a_yes_that_is_remembered_costs_no_read(door: Door) -> None:
    await door.rooms.read(ROOM)
    door.store.calls.clear()
    assert door.authoriser.may_send(MEMBER, read_destination(f"/pub/room/{ROOM}/message")) is None
    assert not door.store.calls


async def test_a_no_is_never_given_from_memory(door: Door) -> None:
    await door.rooms.read(ROOM)
    door.store.add(ROOM, "eve")
    assert await door.ask("send", STRANGER, f"/pub/room/{ROOM}/message") is None


async def test_a_member_who_was_removed_is_refused_once_that_was_heard_of(door: Door) -> None:
    await door.rooms.read(ROOM)
    door.rooms.heard(ROOM, door.store.remove(ROOM, "ann").members_version)
    assert await door.ask("subscribe", MEMBER, f"/sub/chat/room/{ROOM}") is Cause.NO_SUCH_ROOM


async def test_without_the_store_an_unknown_is_neither_yes_nor_no(door: Door) -> None:
    door.store.down = True
    assert await door.ask("send", MEMBER, f"/pub/room/{ROOM}/message") is Cause.STORE_UNAVAILABLE
