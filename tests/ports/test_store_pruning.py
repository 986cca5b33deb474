"""What every store promises of messages that grow old."""

from __future__ import annotations

import asyncio

import pytest

from stompgate.chat.history import FIRST_SEQ
from stompgate.model.messages import ChatMessage
from stompgate.model.records import ChatRecord
from stompgate.model.rooms import RoomHead
from stompgate.ports.store import Store

from .conftest import StoreGroup
from .drafts import draft, make_room, repeated, stored

BEFORE_US = 1_000_000


async def say_at(store: Store, room: str, *times_us: int, is_relayed: bool = True) -> list[ChatMessage]:
    """Store messages that were sent at these times."""
    messages = [stored(one) for one in await store.append([draft(room, str(at_us), sent_at_us=at_us) for at_us in times_us])]
    if is_relayed:
        await store.mark_relayed([ChatRecord(message) for message in messages])
    return messages


async def seqs(store: Store, room: str) -> list[int]:
    return [message.seq for message in await store.history(room, after=FIRST_SEQ, limit=10_000)]


async def prune_all(store: Store, *, limit: int = 100, archive: bool = False) -> list[int]:
    """Prune until there is nothing more; how many went each time."""
    gone: list[int] = []
    while count := await store.prune(BEFORE_US, limit, archive=archive):
        gone.append(count)
    return gone


@pytest.mark.parametrize("archive", [False, True])
async def test_a_room_loses_its_oldest_messages_up_to_the_first_that_is_younger(store: Store, archive: bool) -> None:
    room, young, empty = [await make_room(store, name) for name in ("room", "young", "empty")]
    await say_at(store, room, 1, 2, BEFORE_US - 1, BEFORE_US, 5, BEFORE_US + 1)
    await say_at(store, young, BEFORE_US, BEFORE_US)
    assert await prune_all(store, archive=archive) == [3]
    assert (await seqs(store, room), await seqs(store, young), await seqs(store, empty)) == ([4, 5, 6], [1, 2], [])
    assert await store.message_at(room, 3) is None
    assert await prune_all(store, archive=archive) == []


async def test_a_rooms_newest_message_stays_and_its_numbers_go_on(store: Store) -> None:
    room = await make_room(store, "room")
    first = await say_at(store, room, 1, 2, 3)
    assert await prune_all(store) == [2]
    assert await store.history(room, limit=10) == [first[-1]]
    assert await store.message_at(room, 3) == first[-1]
    assert list(await store.heads([room])) == [RoomHead(room, 3, 1, deleted=False)]
    assert [message.seq for message in await say_at(store, room, 4)] == [4]
    assert await prune_all(store) == [1]
    assert await seqs(store, room) == [4]


async def test_what_is_owed_to_the_relay_stays_with_all_that_follows(store: Store) -> None:
    room = await make_room(store, "room")
    await say_at(store, room, 1)
    owed = await say_at(store, room, 2, is_relayed=False)
    await say_at(store, room, 3, 4)
    assert await prune_all(store) == [1]
    assert await seqs(store, room) == [2, 3, 4]
    await store.mark_relayed([ChatRecord(message) for message in owed])
    assert await prune_all(store) == [2]


async def test_never_more_go_at_once_than_was_asked_for(store: Store) -> None:
    rooms = [await make_room(store, f"room-{number}") for number in range(70)]
    for room in rooms[::2]:
        await say_at(store, room, *range(1, 9))
    gone = await prune_all(store, limit=10)
    assert sum(gone) == 35 * 7
    assert max(gone) <= 10
    assert [await seqs(store, room) for room in rooms] == [[8] if number % 2 == 0 else [] for number in range(70)]


async def test_what_grows_old_behind_the_walk_is_found_by_the_next_round(store: Store) -> None:
    first, last = await make_room(store, "first"), await make_room(store, "last")
    await say_at(store, last, 1, 2, 3)
    assert await store.prune(BEFORE_US, 1, archive=False) == 1
    await say_at(store, first, 1, 2)
    assert sum(await prune_all(store)) == 2
    assert (await seqs(store, first), await seqs(store, last)) == ([2], [3])


async def test_a_deleted_room_is_not_pruned_but_cleared(store: Store) -> None:
    room = await make_room(store, "room")
    await say_at(store, room, 1, 2, 3)
    assert await store.prune(BEFORE_US, 1, archive=True) == 1
    await store.delete_room(room)
    assert await prune_all(store, archive=True) == []


async def test_a_client_id_is_remembered_as_long_as_its_message(store: Store) -> None:
    room = await make_room(store, "room")
    old = draft(room, "old", client_id="c1", sent_at_us=1)
    first = stored((await store.append([old]))[0])
    kept = draft(room, "kept", client_id="c2", sent_at_us=1)
    second = stored((await store.append([kept]))[0])
    await store.mark_relayed([ChatRecord(first), ChatRecord(second)])
    await prune_all(store)
    assert repeated((await store.append([kept]))[0]) == second
    assert stored((await store.append([old]))[0]).seq == 3


async def test_several_servers_prune_at_once_without_harm(store_group: StoreGroup) -> None:
    stores = [await store_group.open(f"server-{number}") for number in range(3)]
    rooms = [await make_room(stores[0], f"room-{number}") for number in range(8)]
    for room in rooms:
        await say_at(stores[0], room, *range(1, 41))
    busy = [asyncio.create_task(prune_all(store, limit=15, archive=True)) for store in stores]
    young = {room: await say_at(stores[1], room, BEFORE_US, BEFORE_US + 1) for room in rooms}
    first_round = [sum(counts) for counts in await asyncio.gather(*busy)]
    rest = await prune_all(stores[2], archive=True)
    assert sum(first_round) + sum(rest) == 40 * len(rooms)
    assert {room: await seqs(stores[0], room) for room in rooms} == {
        room: [message.seq for message in messages] for room, messages in young.items()
    }
