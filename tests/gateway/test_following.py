"""Who follows a room is checked against the members of the moment, whatever is remembered of them."""

from __future__ import annotations

import pytest

from stompgate.access.authoriser import RoomAuthoriser
from stompgate.broker.acknowledgements import AckMode
from stompgate.broker.destinations import read_destination, room_destination
from stompgate.chat.feeds import FeedLimits, Feeds
from stompgate.chat.rooms import RoomLimits, Rooms
from stompgate.gateway.following import Following
from stompgate.gateway.subscriptions import Subscription
from stompgate.model.causes import Cause, Refusal
from tests.memory_store import MemoryRows, MemoryStore

from .scene import Scene

ROOM = "room"


async def follow_after_removal_of(removed: str) -> Following:
    """``user`` follows a room whose members were read before one of them was removed; nobody has told this server."""
    rows = MemoryRows()
    rows.make_room(ROOM, ("", "", ""), [("user", "other"), ("other", "user")])
    store = MemoryStore(rows, server_id="test")
    scene = Scene()
    rooms = Rooms(store, lambda _: None, RoomLimits())
    scene.gate.rooms = rooms
    scene.gate.authoriser = RoomAuthoriser(rooms)
    scene.gate.feeds = Feeds(store, rooms, scene.clock, lambda: True, FeedLimits(), went_back=pytest.fail)
    await rooms.read(ROOM)
    await store.remove_member(ROOM, removed)
    peer, _ = scene.peer()
    destination = read_destination(room_destination(ROOM))
    return Following(scene.gate, Subscription(peer, "s", destination.name, AckMode.AUTO), destination)


async def test_members_remembered_from_before_a_message_do_not_let_anyone_have_it() -> None:
    check = (await follow_after_removal_of("user")).may_receive(2)
    assert check is not None
    with pytest.raises(Refusal) as refused:
        await check
    assert refused.value.cause is Cause.NO_SUCH_ROOM


async def test_who_was_checked_for_a_message_is_not_checked_for_it_again() -> None:
    following = await follow_after_removal_of("other")
    check = following.may_receive(2)
    assert check is not None
    await check
    assert following.may_receive(2) is None
