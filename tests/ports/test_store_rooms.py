"""What every store promises of rooms, their removal, its outbox, and inquiries."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from stompgate.model.inquiries import Inquiry
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.model.rooms import Members, Room, RoomUser
from stompgate.ports.store import PUT_OFF_LIMIT_S, Store, Stored

from .conftest import StoreHome
from .drafts import BUYER, SELLER, draft, make_room, rejected, say, stored


async def test_a_new_room_is_answered_with_the_sellers_row_and_then_the_buyers(store: Store) -> None:
    sellers, buyers = await store.create_room("room", buyer=BUYER, seller=SELLER, product_name="책상")
    room = Room(sellers.room.id, "room", "책상")
    assert sellers == RoomUser(sellers.id, room, user=SELLER, other=BUYER)
    assert buyers == RoomUser(buyers.id, room, user=BUYER, other=SELLER)
    assert sellers.id < buyers.id


async def test_creating_a_room_again_finds_it(store: Store) -> None:
    first = await store.create_room("room", buyer=BUYER, seller=SELLER, product_name="desk")
    assert await store.create_room("another", buyer=BUYER, seller=SELLER, product_name="desk") == first
    assert await store.members("another") is None


async def test_clicks_at_the_same_moment_make_one_room(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.create_room(f"room-{n}", buyer=BUYER, seller=SELLER, product_name="desk") for n in range(10))
    )
    assert len(set(answers)) == 1


async def test_rooms_differ_by_each_of_buyer_seller_and_product_exactly(store: Store) -> None:
    kinds = [
        ("b", "s", "p"),
        ("B", "s", "p"),
        ("b", "S", "p"),
        ("b", "s", "P"),
        ("s", "b", "p"),
        ("bs", "", "p"),
        ("b", "s", "p "),
    ]
    for n, (buyer, seller, product_name) in enumerate(kinds):
        sellers, _ = await store.create_room(f"room-{n}", buyer=buyer, seller=seller, product_name=product_name)
        assert sellers.room.uuid == f"room-{n}"


async def test_a_room_with_oneself_has_two_rows(store: Store) -> None:
    sellers, buyers = await store.create_room("room", buyer="me", seller="me", product_name="p")
    assert (sellers.user, buyers.user) == ("me", "me")
    assert await store.room_user("room", "me") == sellers


async def test_a_deleted_room_can_be_made_anew(store: Store) -> None:
    old, _ = await store.create_room("old", buyer=BUYER, seller=SELLER, product_name="desk")
    await store.delete_room("old")
    new, _ = await store.create_room("new", buyer=BUYER, seller=SELLER, product_name="desk")
    assert (new.room.uuid, new.id > old.id, new.room.id > old.room.id) == ("new", True, True)
    assert [row.room.uuid for row in await store.rooms_of(SELLER)] == ["new"]
    await store.delete_room("new")
    assert list(await store.rooms_of(SELLER)) == []


async def test_members_are_told_with_their_version_and_the_last_number(store: Store) -> None:
    room = await make_room(store, "room")
    await say(store, room, "1", "2")
    assert await store.members(room) == Members(room, frozenset((BUYER, SELLER)), 1, deleted=False, last_seq=2)
    assert await store.members("nowhere") is None


async def test_rows_of_members_are_found_exactly(store: Store) -> None:
    sellers, buyers = await store.create_room("room", buyer=BUYER, seller=SELLER, product_name="p")
    assert await store.room_user("room", BUYER) == buyers
    assert await store.room_user("room", SELLER) == sellers
    for room, user in (
        ("room", BUYER.upper()),
        ("room", "stranger"),
        ("ROOM", BUYER),
        ("nowhere", BUYER),
        ("room", f"{BUYER} "),
    ):
        assert await store.room_user(room, user) is None


async def test_rows_are_listed_in_the_order_of_their_ids(store: Store) -> None:
    rows: list[RoomUser] = []
    for n in range(5):
        rows += await store.create_room(f"room-{n}", buyer=f"buyer-{n % 2}", seller=SELLER, product_name=str(n))
    assert list(await store.all_room_users()) == rows
    assert list(await store.rooms_of(SELLER)) == rows[::2]
    assert list(await store.rooms_of("buyer-1")) == [rows[3], rows[7]]
    assert list(await store.rooms_of("stranger")) == []


async def test_rooms_are_listed_page_by_page_the_newest_first(store: Store) -> None:
    names = [f"room-{n}" for n in range(5)]
    for n, name in enumerate(names):
        await store.create_room(name, buyer=(BUYER, "other")[n % 2], seller=SELLER, product_name=f"책상 {n}")
    await say(store, "room-4", "1", "2")
    await store.delete_room("room-2")
    first = await store.list_rooms(limit=2)
    second = await store.list_rooms(before=first[-1].room.id, limit=2)
    last = await store.list_rooms(before=second[-1].room.id, limit=2)
    assert [summary.room.uuid for summary in (*first, *second, *last)] == ["room-4", "room-3", "room-1", "room-0"]
    assert (first[0].room.product_name, first[0].buyer, first[0].seller, first[0].last_seq) == ("책상 4", BUYER, SELLER, 2)
    assert [summary.room.uuid for summary in await store.list_rooms(user="other", limit=9)] == ["room-3", "room-1"]
    assert list(await store.list_rooms(user="other ", limit=9)) == []


async def test_nothing_of_a_deleted_room_is_left_to_see(store: Store) -> None:
    room, other = await make_room(store, "room"), await make_room(store, "other")
    await say(store, room, "1", "2")
    (kept,) = await say(store, other, "kept")
    assert await store.delete_room(room) == RoomChanged(room, 2, deleted=True, epoch=store.epoch)
    assert list(await store.history(room, limit=10)) == list(await store.history(room, after=0, limit=10)) == []
    assert await store.message_at(room, 1) is None
    assert await store.room_user(room, BUYER) is None
    assert {row.room.uuid for row in (*await store.rooms_of(BUYER), *await store.all_room_users())} == {other}
    assert await store.members(room) == Members(room, frozenset(), 2, deleted=True, last_seq=2)
    assert list(await store.history(other, limit=10)) == [kept]


async def test_a_room_is_deleted_once(store: Store) -> None:
    room = await make_room(store, "room")
    answers = await asyncio.gather(store.delete_room(room), store.delete_room(room), store.delete_room("nowhere"))
    assert sorted(answer is not None for answer in answers) == [False, False, True]
    assert answers[2] is None


async def test_nothing_is_stored_after_a_room_was_deleted(store: Store) -> None:
    room = await make_room(store, "room")
    await say(store, room, "before")
    (at_once,), deleted = await asyncio.gather(store.append([draft(room, "at the same moment")]), store.delete_room(room))
    assert deleted is not None
    (head,) = await store.heads([room])
    assert head.last_seq == (2 if isinstance(at_once, Stored) else 1)
    rejected((await store.append([draft(room, "after")]))[0])
    assert list(await store.heads([room])) == [head]


# The outbox


async def test_what_is_stored_is_owed_until_it_is_marked(store: Store) -> None:
    a, b = await make_room(store, "room-a"), await make_room(store, "room-b")
    messages = [*await say(store, a, "1", "2"), *await say(store, b, "3"), *await say(store, a, "4")]
    records = [ChatRecord(message) for message in messages]
    assert list(await store.unrelayed(10)) == records
    assert list(await store.unrelayed(2)) == records[:2]
    await store.mark_relayed([records[0], records[2]])
    assert list(await store.unrelayed(10)) == [records[1], records[3]]
    await store.mark_relayed(records)
    assert list(await store.unrelayed(10)) == []


async def test_marking_again_or_what_is_gone_does_nothing(store: Store) -> None:
    room, gone = await make_room(store, "room"), await make_room(store, "gone")
    records = [ChatRecord(message) for message in (*await say(store, room, "1"), *await say(store, gone, "2"))]
    change = await store.delete_room(gone)
    assert change is not None
    for _ in range(2):
        await store.mark_relayed([*records, change])
    await store.mark_relayed([RoomChanged("nowhere", 1, deleted=True, epoch=store.epoch)])
    await store.mark_relayed([])
    assert list(await store.unrelayed(10)) == []
    assert len(await store.history(room, limit=10)) == 1


async def test_a_repeat_is_not_owed_again(store: Store) -> None:
    room = await make_room(store, "room")
    one = draft(room)
    record = ChatRecord(stored((await store.append([one]))[0]))
    await store.mark_relayed([record])
    await store.append([one])
    assert list(await store.unrelayed(10)) == []


async def test_a_removal_is_owed_and_what_is_left_of_the_room_is_not(store: Store) -> None:
    room, other = await make_room(store, "room"), await make_room(store, "other")
    await say(store, room, "of no use now")
    (kept,) = await say(store, other, "kept")
    change = await store.delete_room(room)
    assert list(await store.unrelayed(10)) == [change, ChatRecord(kept)]
    assert list(await store.unrelayed(1)) == [change]
    assert change is not None
    await store.mark_relayed([RoomChanged(room, change.members_version - 1, deleted=False, epoch=store.epoch)])
    assert change in await store.unrelayed(10)
    await store.mark_relayed([change])
    assert list(await store.unrelayed(10)) == [ChatRecord(kept)]


async def test_a_large_outbox_is_marked_at_once(store: Store) -> None:
    room = await make_room(store, "room")
    records = [ChatRecord(message) for message in await say(store, room, *map(str, range(700)))]
    await store.mark_relayed(records[:600])
    assert list(await store.unrelayed(1000)) == records[600:]


async def test_the_outbox_survives_the_server(home: StoreHome) -> None:
    store = await home.open()
    room, gone = await make_room(store, "room"), await make_room(store, "gone")
    (message,) = await say(store, room, "1")
    change = await store.delete_room(gone)
    store = await home.open()
    assert list(await store.unrelayed(10)) == [change, ChatRecord(message)]


# Inquiries


async def test_inquiries_wait_in_their_order_until_they_are_mailed(home: StoreHome) -> None:
    store = await home.open()
    asked = [await store.add_inquiry(Inquiry(0, f"이름 {n}", "a@example.org", "010", "text\nof two lines")) for n in range(3)]
    assert all(inquiry.id > 0 for inquiry in asked)
    assert list(await store.unmailed(10)) == asked
    assert list(await store.unmailed(2)) == asked[:2]
    await store.mark_mailed(asked[1].id)
    await store.mark_mailed(asked[1].id)
    await store.mark_mailed(10_000)
    store = await home.open()
    assert list(await store.unmailed(10)) == [asked[0], asked[2]]


async def test_an_inquiry_asked_again_is_kept_once_until_it_is_mailed(home: StoreHome) -> None:
    store = await home.open()
    inquiry = Inquiry(0, "name", "a@example.org", "010", "text")
    kept = await store.add_inquiry(inquiry)
    assert await store.add_inquiry(inquiry) == kept
    other = await store.add_inquiry(Inquiry(0, "name", "a@example.org", "010", "another text"))
    assert list(await store.unmailed(10)) == [kept, other]
    await store.mark_mailed(kept.id)
    assert (await store.add_inquiry(inquiry)).id not in (kept.id, other.id)


async def test_what_could_not_be_mailed_waits_counts_and_outlives_the_server(home: StoreHome) -> None:
    store = await home.open()
    first, second = [await store.add_inquiry(Inquiry(0, f"name {n}", "a@example.org", "010", "text")) for n in range(2)]
    await store.unmailed(10)
    await store.put_off_mail(3600, first.id)
    assert list(await store.unmailed(10)) == [second]
    await store.put_off_mail(0, second.id)
    await store.put_off_mail(0, second.id)
    store = await home.open()
    (again,) = await store.unmailed(10)
    assert (again.id, again.failures, again.name) == (second.id, 2, "name 1")
    assert again.failing_since_us > 0
    await store.put_off_mail(3600)
    both = await store.unmailed(10)
    assert [(one.id, one.failures) for one in both] == [(first.id, 2), (second.id, 3)], "an outage for all puts nobody off"
    assert both[1].failing_since_us == again.failing_since_us
    await store.mark_mailed(second.id)
    await store.put_off_mail(0, second.id)
    await store.put_off_mail(0, 10_000)
    assert [one.id for one in await store.unmailed(10)] == [first.id]


async def test_what_was_put_off_for_ever_was_so_by_a_clock_set_back(store: Store) -> None:
    asked = await store.add_inquiry(Inquiry(0, "name", "a@example.org", "010", "text"))
    await store.put_off_mail(PUT_OFF_LIMIT_S + 60, asked.id)
    assert [one.id for one in await store.unmailed(10)] == [asked.id]


async def test_only_what_has_failed_for_so_long_is_given_up_and_each_is_told_once(home: StoreHome) -> None:
    store = await home.open()
    inquiry = Inquiry(0, "name", "a@example.org", "010", "text")
    asked = [await store.add_inquiry(replace(inquiry, name=f"name {n}")) for n in range(4)]
    for one in asked[:3]:
        await store.put_off_mail(0, one.id)
    failing = {one.id: one.failing_since_us for one in await store.unmailed(10)}
    assert failing[asked[3].id] == 0
    assert list(await store.give_up_mail(failing[asked[0].id] - 1)) == []
    assert list(await store.give_up_mail(max(failing.values()), asked[3].id)) == []
    assert list(await store.give_up_mail(max(failing.values()), asked[1].id)) == [asked[1].id]
    assert list(await store.give_up_mail(max(failing.values()))) == [asked[0].id, asked[2].id]
    assert list(await store.give_up_mail(max(failing.values()))) == []
    await store.put_off_mail(0)
    store = await home.open()
    assert [one.id for one in await store.unmailed(10)] == [asked[3].id]
    assert (await store.add_inquiry(replace(inquiry, name="name 0"))).id not in failing, "asked again it is a new one"
