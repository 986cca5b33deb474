"""One process at a time acts for a server id, others do what nobody acts for, and a restored store begins a new life."""

from __future__ import annotations

import asyncio

import pytest

from stompgate.model.inquiries import Inquiry
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.ports.store import CLOCK_SLACK_S, LEASE_S, MAIL_CLAIM_S, Store, StoreUnavailable

from .conftest import StoreGroup, StoreHome
from .drafts import make_room, say

# Every store


async def test_a_lease_is_granted_and_renewed(store: Store) -> None:
    first = await store.take_lease("owner")
    second = await store.take_lease("owner")
    assert first.owner == second.owner == "owner"
    assert second.expires_at_us >= first.expires_at_us > 0


async def test_a_lease_that_was_let_go_is_granted_to_the_next_owner(store: Store) -> None:
    await store.take_lease("one")
    await store.release_lease("one")
    await store.release_lease("one")
    assert (await store.take_lease("two")).owner == "two"


async def test_a_new_epoch_is_in_force_from_the_next_opening_on_and_changes_nothing_else(home: StoreHome) -> None:
    store = await home.open()
    old, room = store.epoch, await make_room(store, "room")
    messages = await say(store, room, "1", "2")
    new = await store.new_epoch()
    store = await home.open()
    assert store.epoch == new != old
    found = await store.history(room, limit=10)
    assert [(one.id, one.seq, one.content) for one in found] == [(one.id, one.seq, one.content) for one in messages]
    assert [one.epoch for one in (*found, *await say(store, room, "3"))] == [new] * 3
    records = await store.unrelayed(10)
    assert [record.message.epoch for record in records if isinstance(record, ChatRecord)] == [new] * 3


# Stores that several servers share


async def test_a_lease_that_is_valid_is_refused_to_another_owner(store_group: StoreGroup) -> None:
    store, same_id = await store_group.open("server-1"), await store_group.open("server-1")
    mine = await store.take_lease("mine")
    assert await same_id.take_lease("another's") == mine
    await store_group.pass_time(LEASE_S - 2)
    assert (await same_id.take_lease("another's")).owner == "mine"
    assert (await (await store_group.open("server-2")).take_lease("another's")).owner == "another's"


async def test_a_renewal_is_seen_by_its_expiry(store_group: StoreGroup) -> None:
    store, same_id = await store_group.open("server-1"), await store_group.open("server-1")
    await store.take_lease("mine")
    await store_group.pass_time(5)
    now_us = await store_group.now_us()
    renewed = await store.take_lease("mine")
    assert await same_id.take_lease("another's") == renewed
    assert renewed.expires_at_us >= now_us + LEASE_S * 1_000_000


async def test_a_lease_lasts_as_long_as_the_port_says(store_group: StoreGroup) -> None:
    store, same_id = await store_group.open("server-1"), await store_group.open("server-1")
    before_us = await store_group.now_us()
    lease = await store.take_lease("mine")
    after_us = await store_group.now_us()
    assert before_us <= lease.expires_at_us - LEASE_S * 1_000_000 <= after_us
    await store_group.pass_time(LEASE_S)
    assert (await same_id.take_lease("another's")).owner == "another's"
    assert (await store.take_lease("mine")).owner == "another's"


async def test_a_lease_that_ends_further_ahead_than_any_can_is_no_lease(store_group: StoreGroup) -> None:
    store = await store_group.open("server-1")
    await store.take_lease("mine")
    await store_group.expires_in("server-1", LEASE_S + CLOCK_SLACK_S + 5)
    assert (await store.take_lease("another's")).owner == "another's"


async def test_what_began_or_was_renewed_while_a_statement_waited_is_in_force_for_it(store_group: StoreGroup) -> None:
    """The database takes for now when the statement began, and what came meanwhile ends further ahead than it could."""
    one, other = await store_group.open("server-1"), await store_group.open("server-2")
    await one.take_lease("mine")
    (message,) = await say(one, await make_room(one, "room"), "1")
    asked = await one.add_inquiry(Inquiry(0, "name", "a@example.org", "010", "text"))
    assert list(await one.unmailed(1)) == [asked]
    await store_group.pass_time(-CLOCK_SLACK_S / 2)
    assert list(await other.unmailed(1)) == []
    assert list(await other.unrelayed(10)) == []
    assert (await (await store_group.open("server-1")).take_lease("another's")).owner == "mine"
    await store_group.pass_time(-CLOCK_SLACK_S)
    assert list(await other.unmailed(1)) == [asked]
    assert list(await other.unrelayed(10)) == [ChatRecord(message)]


async def test_a_lease_is_let_go_by_its_owner_only(store_group: StoreGroup) -> None:
    store = await store_group.open("server-1")
    await store.take_lease("mine")
    await store.release_lease("another's")
    assert (await store.take_lease("another's")).owner == "mine"


async def test_what_a_server_owes_is_given_to_others_once_it_has_no_valid_lease(store_group: StoreGroup) -> None:
    gone, here = await store_group.open("server-1"), await store_group.open("server-2")
    await gone.take_lease("gone")
    room, deleted = await make_room(gone, "room"), await make_room(gone, "deleted")
    messages = [*await say(gone, room, "1", "2"), *await say(here, room, "3")]
    change = await gone.delete_room(deleted)
    assert isinstance(change, RoomChanged)
    owed_by_both: list[ChatRecord | RoomChanged] = [change, *map(ChatRecord, messages)]
    assert list(await here.unrelayed(10)) == [ChatRecord(messages[2])]
    assert list(await gone.unrelayed(10)) == owed_by_both, "server-2 has no lease"
    await store_group.pass_time(LEASE_S)
    assert list(await here.unrelayed(10)) == owed_by_both
    assert list(await here.unrelayed(2)) == owed_by_both[:2]
    await here.mark_relayed(owed_by_both)
    assert list(await gone.unrelayed(10)) == []


async def test_what_a_server_owes_is_given_to_others_once_it_let_go(store_group: StoreGroup) -> None:
    gone, here = await store_group.open("server-1"), await store_group.open("server-2")
    await gone.take_lease("gone")
    messages = await say(gone, await make_room(gone, "room"), "1")
    assert list(await here.unrelayed(10)) == []
    await gone.release_lease("gone")
    assert list(await here.unrelayed(10)) == [ChatRecord(messages[0])]


async def test_no_new_life_begins_while_a_server_is_there(store_group: StoreGroup) -> None:
    server, command = await store_group.open("server-1"), await store_group.open("server-2")
    await server.take_lease("mine")
    epoch = command.epoch
    with pytest.raises(StoreUnavailable):
        await command.new_epoch()
    await server.release_lease("mine")
    new = await command.new_epoch()
    assert (await store_group.open("server-1")).epoch == new != epoch


async def test_inquiries_are_given_to_one_server_until_its_claim_ends(store_group: StoreGroup) -> None:
    one, other = await store_group.open("server-1"), await store_group.open("server-2")
    asked = [await one.add_inquiry(Inquiry(0, f"name {n}", "a@example.org", "010", "text")) for n in range(3)]
    assert list(await one.unmailed(2)) == asked[:2]
    assert list(await other.unmailed(10)) == asked[2:]
    assert list(await one.unmailed(10)) == asked[:2], "its own again"
    await store_group.pass_time(MAIL_CLAIM_S - 2)
    assert list(await other.unmailed(10)) == asked[2:]
    await store_group.pass_time(2)
    await one.mark_mailed(asked[0].id)
    assert list(await other.unmailed(10)) == asked[1:]
    assert list(await one.unmailed(10)) == []


async def test_who_puts_an_inquiry_off_too_late_leaves_it_to_the_one_that_has_it_by_now(store_group: StoreGroup) -> None:
    late, other, third = [await store_group.open(f"server-{n}") for n in range(3)]
    asked = await late.add_inquiry(Inquiry(0, "name", "a@example.org", "010", "text"))
    assert list(await late.unmailed(1)) == [asked]
    await store_group.pass_time(MAIL_CLAIM_S)
    assert list(await other.unmailed(1)) == [asked]
    await late.put_off_mail(0, asked.id)
    assert list(await third.unmailed(1)) == []


async def test_an_inquiry_that_was_put_off_is_anybodys_afterwards(store_group: StoreGroup) -> None:
    one, other = await store_group.open("server-1"), await store_group.open("server-2")
    first, second, third = [await one.add_inquiry(Inquiry(0, f"name {n}", "a@example.org", "010", "text")) for n in range(3)]
    assert len(await one.unmailed(2)) == 2
    await one.put_off_mail(0, first.id)
    assert [(given.id, given.failures) for given in await other.unmailed(10)] == [(first.id, 1), (third.id, 0)]
    await one.put_off_mail(0)
    assert [given.id for given in await one.unmailed(10)] == [second.id], "another's claims stay"
    now_us = await store_group.now_us()
    given_up = await asyncio.gather(*(server.give_up_mail(now_us) for server in (one, other)))
    assert sorted(number for ids in given_up for number in ids) == [first.id, second.id, third.id]
    assert list(await other.unmailed(10)) == []
