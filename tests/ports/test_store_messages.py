"""What every store promises of messages and their history."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stompgate.model.causes import Cause
from stompgate.model.messages import Draft
from stompgate.model.rooms import RoomHead
from stompgate.ports.store import Store

from .conftest import StoreHome
from .drafts import BUYER, SELLER, draft, make_room, rejected, repeated, say, stored


async def test_a_group_is_numbered_per_room_in_the_order_of_its_drafts(store: Store) -> None:
    a, b = await make_room(store, "room-a"), await make_room(store, "room-b")
    outcomes = await store.append([draft(a, "1"), draft(b, "2"), draft(a, "3"), draft(b, "4"), draft(a, "5")])
    assert [(stored(o).room, stored(o).seq, stored(o).content) for o in outcomes] == [
        (a, 1, "1"),
        (b, 1, "2"),
        (a, 2, "3"),
        (b, 2, "4"),
        (a, 3, "5"),
    ]
    assert stored((await store.append([draft(a, "6")]))[0]).seq == 4


async def test_what_append_answers_is_what_history_gives(store: Store) -> None:
    room = await make_room(store, "room")
    told = [stored(o) for o in await store.append([draft(room, text) for text in ("", "안녕 🙂", "a\x00b\r\n", "x" * 70_000)])]
    assert list(await store.history(room, limit=10)) == told
    assert {message.epoch for message in told} == {store.epoch}


async def test_an_empty_group_is_answered_with_nothing(store: Store) -> None:
    assert list(await store.append([])) == []


async def test_groups_appended_one_after_the_other_keep_their_order(store: Store) -> None:
    room = await make_room(store, "room")
    groups = [[draft(room, f"{group}-{row}") for row in range(3)] for group in range(10)]
    await asyncio.gather(*(store.append(group) for group in groups))
    history = await store.history(room, limit=100)
    assert [message.content for message in history] == [one.content for group in groups for one in group]
    assert [message.seq for message in history] == list(range(1, 31))


async def test_a_group_may_be_larger_than_a_statement(store: Store) -> None:
    rooms = [await make_room(store, f"room-{n}") for n in range(7)]
    drafts = [draft(rooms[n % 7], str(n), client_id=f"c{n}" if n % 2 else None) for n in range(777)]
    first = [stored(outcome) for outcome in await store.append(drafts)]
    assert [repeated(outcome) for outcome in await store.append(drafts)] == first
    assert [message.seq for message in first] == [n // 7 + 1 for n in range(777)]


async def test_a_draft_for_no_room_is_rejected_alone(store: Store) -> None:
    room = await make_room(store, "room")
    first, lost, second = await store.append([draft(room, "1"), draft("nowhere"), draft(room, "2")])
    assert (stored(first).seq, stored(second).seq) == (1, 2)
    assert rejected(lost).cause is Cause.NO_SUCH_ROOM


async def test_a_draft_for_a_deleted_room_is_rejected_alone(store: Store) -> None:
    room, gone = await make_room(store, "room"), await make_room(store, "gone")
    await store.delete_room(gone)
    lost, kept = await store.append([draft(gone, members_version=2), draft(room)])
    assert rejected(lost).cause is Cause.NO_SUCH_ROOM
    assert stored(kept).seq == 1


async def test_a_draft_checked_against_other_members_is_checked_again(store: Store) -> None:
    room = await make_room(store, "room")
    stranger, seller, second_stranger = await store.append(
        [draft(room, sender=name, members_version=0) for name in ("stranger", SELLER, "stranger")]
    )
    assert rejected(stranger).cause is rejected(second_stranger).cause is Cause.NO_SUCH_ROOM
    assert (stored(seller).seq, stored(seller).members_version) == (1, 1)


async def test_a_draft_that_no_database_can_hold_is_rejected_alone(store: Store) -> None:
    room = await make_room(store, "room")
    late = Draft("id-of-late", room, BUYER, "never", None, 2**63, 1)
    outcomes = await store.append(
        [draft(room, "1"), draft(room, "half a pair: \ud83d"), late, draft(room, "2"), draft("\udc00")]
    )
    assert [stored(outcomes[0]).seq, stored(outcomes[3]).seq] == [1, 2]
    assert {rejected(outcomes[n]).cause for n in (1, 2, 4)} == {Cause.BAD_BODY}
    assert [rejected(o).cause for o in await store.append([late])] == [Cause.BAD_BODY]


async def test_the_same_drafts_again_are_answered_with_what_is_stored(store: Store) -> None:
    room = await make_room(store, "room")
    drafts = [draft(room, "1"), draft(room, "2", client_id="c")]
    first = [stored(outcome) for outcome in await store.append(drafts)]
    again = await store.append([*drafts, draft(room, "3")])
    assert [repeated(outcome) for outcome in again[:2]] == first
    assert stored(again[2]).seq == 3
    assert len(await store.history(room, limit=10)) == 3


async def test_an_id_is_stored_once_whatever_else_the_draft_says(store: Store) -> None:
    room, other = await make_room(store, "room"), await make_room(store, "other")
    (first,) = await store.append([draft(room, "first", message_id="same")])
    for again in (draft(other, message_id="same"), draft(room, "x", message_id="same", sender=SELLER, client_id="c")):
        (outcome,) = await store.append([again])
        assert repeated(outcome) == stored(first)
    assert list(await store.history(other, limit=10)) == []


async def test_a_client_id_is_stored_once_per_room_and_sender(store: Store) -> None:
    room, other = await make_room(store, "room"), await make_room(store, "other")
    (first,) = await store.append([draft(room, "first", client_id="c")])
    same, by_other_sender, in_other_room, other_case = await store.append(
        [
            draft(room, "second", client_id="c"),
            draft(room, client_id="c", sender=SELLER),
            draft(other, client_id="c"),
            draft(room, client_id="C"),
        ]
    )
    assert repeated(same) == stored(first)
    assert [stored(outcome).seq for outcome in (by_other_sender, in_other_room, other_case)] == [2, 1, 3]


async def test_repeats_within_a_group_are_stored_once(store: Store) -> None:
    room, other = await make_room(store, "room"), await make_room(store, "other")
    outcomes = await store.append(
        [
            draft(room, "1", message_id="i", client_id="c"),
            draft(room, "2", client_id="c"),
            draft(other, "3", message_id="i"),
            draft(room, "4"),
        ]
    )
    assert repeated(outcomes[1]) == repeated(outcomes[2]) == stored(outcomes[0])
    assert stored(outcomes[3]).seq == 2


async def test_a_repeat_is_answered_even_if_the_sender_is_a_member_no_more(store: Store) -> None:
    room = await make_room(store, "room")
    (first,) = await store.append([draft(room, sender="left", message_id="i", members_version=1)])
    (again,) = await store.append([draft(room, sender="left", message_id="i", members_version=0)])
    assert repeated(again) == stored(first)


@pytest.mark.parametrize(
    ("before", "after", "limit", "expected"),
    [
        (None, None, 3, [8, 9, 10]),
        (None, None, 100, list(range(1, 11))),
        (4, None, 2, [2, 3]),
        (1, None, 5, []),
        (11, None, 1, [10]),
        (None, 0, 3, [1, 2, 3]),
        (None, 8, 5, [9, 10]),
        (None, 10, 5, []),
        (6, 2, 2, [3, 4]),
        (6, 2, 9, [3, 4, 5]),
        (2, 6, 9, []),
        (None, None, 0, []),
        (None, None, -1, []),
        (10**30, None, 2, [9, 10]),
        (None, 10**30, 2, []),
        (-(10**30), None, 2, []),
        (None, -(10**30), 2, [1, 2]),
        (None, None, 10**30, list(range(1, 11))),
    ],
)
async def test_history_keeps_its_bounds(
    store: Store, before: int | None, after: int | None, limit: int, expected: list[int]
) -> None:
    room = await make_room(store, "room")
    await say(store, room, *map(str, range(1, 11)))
    await say(store, await make_room(store, "other"), "not this one")
    messages = await store.history(room, before=before, after=after, limit=limit)
    assert [message.seq for message in messages] == expected
    assert [message.content for message in messages] == [str(seq) for seq in expected]


async def test_the_history_of_no_room_is_empty(store: Store) -> None:
    assert list(await store.history("nowhere", limit=5)) == []


async def test_a_message_is_found_by_its_number(store: Store) -> None:
    room = await make_room(store, "room")
    one, two = await say(store, room, "1", "2")
    assert await store.message_at(room, 1) == one
    assert await store.message_at(room, 2) == two
    for seq in (0, 3, -1, 10**30, -(10**30)):
        assert await store.message_at(room, seq) is None
    assert await store.message_at("nowhere", 1) is None


async def test_heads_tell_of_all_rooms_that_are_known(store: Store) -> None:
    rooms = [await make_room(store, f"room-{n}") for n in range(600)]
    await say(store, rooms[5], "1", "2")
    await store.delete_room(rooms[6])
    heads = {head.room: head for head in await store.heads([*rooms, "nowhere"])}
    assert set(heads) == set(rooms)
    assert heads[rooms[4]] == RoomHead(rooms[4], 0, 1, deleted=False)
    assert heads[rooms[5]] == RoomHead(rooms[5], 2, 1, deleted=False)
    assert heads[rooms[6]] == RoomHead(rooms[6], 0, 2, deleted=True)
    assert list(await store.heads([])) == []


async def test_another_life_of_the_store_finds_everything(home: StoreHome) -> None:
    store = await home.open()
    epoch, room = store.epoch, await make_room(store, "room")
    messages = await say(store, room, "1", "2")
    store = await home.open()
    assert store.epoch == epoch
    assert list(await store.history(room, limit=10)) == list(messages)
    assert [message.seq for message in await say(store, room, "3")] == [3]


async def test_a_cancelled_append_is_done_whole_or_not_at_all(store: Store) -> None:
    room = await make_room(store, "room")
    groups = [[draft(room, f"{group}-{row}") for row in range(5)] for group in range(20)]
    tasks = [asyncio.create_task(store.append(group)) for group in groups]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks[1::2]:
        task.cancel()
    await asyncio.wait(tasks)
    contents = [message.content for message in await store.history(room, limit=200)]
    for task, group in zip(tasks, groups, strict=True):
        found = [one.content for one in group if one.content in contents]
        assert found in ([], [one.content for one in group])
        assert found or task.cancelled()
    assert [m.seq for m in await store.history(room, limit=200)] == list(range(1, len(contents) + 1))
    for task in tasks:
        assert task.cancelled() or all(stored(outcome) for outcome in task.result())


async def test_a_working_store_answers_a_ping(store: Store) -> None:
    await store.ping()


async def test_drafts_of_one_transaction_are_stored_together(store: Store) -> None:
    a, b = await make_room(store, "room-a"), await make_room(store, "room-b")
    outcomes = await store.append([draft(a, "1", transaction="t"), draft(b, "2"), draft(b, "3", transaction="t")])
    assert [(stored(o).room, stored(o).seq) for o in outcomes] == [(a, 1), (b, 1), (b, 2)]


@pytest.mark.parametrize("where", [{"room": "nowhere"}, {"room": "room", "sender": "stranger"}])
async def test_a_bad_draft_fails_its_whole_transaction_and_only_that(store: Store, where: dict[str, Any]) -> None:
    room = await make_room(store, "room")
    outcomes = await store.append(
        [
            draft(room, "1"),
            draft(room, "before", transaction="t"),
            draft(**where, members_version=0, transaction="t"),
            draft(room, "2"),
            draft(room, "other", transaction="u"),
            draft(room, "after", transaction="t"),
        ]
    )
    assert [rejected(outcomes[n]).cause for n in (1, 2, 5)] == [Cause.NO_SUCH_ROOM] * 3
    assert [stored(outcomes[n]).seq for n in (0, 3, 4)] == [1, 2, 3]
    assert [message.content for message in await store.history(room, limit=10)] == ["1", "2", "other"]


async def test_a_text_that_cannot_be_stored_fails_its_whole_transaction_and_only_that(store: Store) -> None:
    room = await make_room(store, "room")
    lost, bad, kept = await store.append(
        [draft(room, "lost", transaction="t"), draft(room, "\ud800", transaction="t"), draft(room, "kept")]
    )
    assert rejected(lost).cause is rejected(bad).cause is Cause.BAD_BODY
    assert stored(kept).seq == 1


async def test_a_transaction_sent_again_is_answered_with_what_is_stored(store: Store) -> None:
    room = await make_room(store, "room")
    drafts = [draft(room, "1", client_id="a", transaction="t"), draft(room, "2", client_id="b", transaction="t")]
    first = [stored(outcome) for outcome in await store.append(drafts)]
    assert [repeated(outcome) for outcome in await store.append(drafts)] == first
