"""A feed hands on its room's messages in order, finds what it misses, and never hands on to members known to be out of date."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from stompgate.chat.feeds import FeedLimits
from stompgate.model.causes import Cause, Refusal
from stompgate.model.records import RoomChanged
from stompgate.ports.store import StoreUnavailable

from .audience import House, Reader, settle

ROOM = "r1"
LIMITS = FeedLimits(ring_messages=5, held_messages=4, page_messages=3)


@pytest.fixture
def house() -> House:
    house = House(feeds=LIMITS)
    house.store.make_room(ROOM)
    return house


async def joined(house: House, user: str = "ann") -> Reader:
    reader = Reader(house, ROOM, user)
    await reader.subscribe()
    house.events.clear()
    house.store.calls.clear()
    return reader


async def refusal(house: House, room: str = ROOM) -> Cause:
    with pytest.raises(Refusal) as refused:
        await house.feeds.ready(house.feeds.acquire(room))
    return refused.value.cause


async def test_messages_pass_in_order_and_once(house: House) -> None:
    reader = await joined(house)
    one, two, three = (house.store.put(ROOM) for _ in range(3))
    for message in (one, three, one, two, two, three):
        house.feeds.offer(message)
    await settle()
    assert house.let_through(ROOM) == reader.seqs == [1, 2, 3]
    assert not house.store.calls


async def test_rooms_that_nobody_listens_to_cost_nothing(house: House) -> None:
    reader = await joined(house)
    reader.end()
    house.feeds.offer(house.store.put(ROOM))
    house.feeds.compare_now()
    await settle()
    assert house.events == []
    assert not house.store.calls


async def test_a_gap_is_waited_for_and_not_read_if_it_fills_by_itself(house: House) -> None:
    await joined(house)
    one, two = house.store.put(ROOM), house.store.put(ROOM)
    house.feeds.offer(two)
    house.advance(LIMITS.gap_wait_s * 0.9)
    await settle()
    assert house.events == []
    house.feeds.offer(one)
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert house.let_through(ROOM) == [1, 2]
    assert not house.store.calls


async def test_a_record_that_was_lost_is_read_page_by_page(house: House) -> None:
    await joined(house)
    messages = [house.store.put(ROOM) for _ in range(8)]
    house.feeds.offer(messages[7])
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert house.let_through(ROOM) == list(range(1, 9))
    assert house.store.calls["history"] == 3


async def test_a_gap_is_read_at_once_while_the_relay_is_down(house: House) -> None:
    await joined(house)
    house.relay_is_up = False
    house.store.put(ROOM)
    house.feeds.offer(house.store.put(ROOM))
    house.advance(0)
    await settle()
    assert house.let_through(ROOM) == [1, 2]


async def test_what_is_held_is_bounded_and_the_rest_read(house: House) -> None:
    reader = await joined(house)
    messages = [house.store.put(ROOM) for _ in range(20)]
    for message in messages[1:]:
        house.feeds.offer(message)
        assert reader.feed.sequencer.held <= LIMITS.held_messages
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert reader.seqs == list(range(1, 21))


async def test_numbers_that_are_nobodys_are_not_believed_and_hide_nothing(house: House) -> None:
    reader = await joined(house)
    lie = replace(house.store.put(ROOM), seq=1_000_000, id="lie")
    house.feeds.offer(lie)
    hold = house.store.hold("history", after=True)
    house.advance(LIMITS.gap_wait_s)
    await hold.reached.wait()
    late = [house.store.put(ROOM), house.store.put(ROOM)]
    house.feeds.offer(late[1])
    hold.let_go()
    await settle()
    assert reader.seqs == [1, 2, 3]
    assert not reader.feed.sequencer.is_behind


async def test_pruned_numbers_are_passed_over(house: House) -> None:
    reader = await joined(house)
    messages = [house.store.put(ROOM) for _ in range(6)]
    house.store.forget(ROOM, 4)
    house.feeds.offer(messages[5])
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert house.let_through(ROOM) == reader.seqs == [5, 6]


async def test_a_message_of_another_life_of_the_store_is_dropped(house: House) -> None:
    reader = await joined(house)
    house.feeds.offer(replace(house.store.put(ROOM), epoch="before"))
    house.feeds.changed(RoomChanged(ROOM, 99, deleted=True, epoch="before"))
    house.feeds.offer(replace(house.store.put(ROOM), seq=1))
    await settle()
    assert reader.seqs == [1]
    assert house.feeds.wrong_epoch == 2
    assert house.rooms.known(ROOM) is not None


# Members


async def test_a_message_of_newer_members_waits_until_they_are_read(house: House) -> None:
    ann, bob = await joined(house), await joined(house, "bob")
    house.feeds.offer(house.store.put(ROOM))
    bob.removed_in = house.store.remove(ROOM, "bob").members_version
    house.feeds.offer(house.store.put(ROOM))
    house.feeds.offer(house.store.put(ROOM))
    assert house.let_through(ROOM) == [1]
    await settle()
    assert house.events == [(ROOM, 1), ("members of " + ROOM, 2), (ROOM, 2), (ROOM, 3)]
    assert (ann.seqs, bob.seqs) == ([1, 2, 3], [1])
    assert not bob.is_live


async def test_an_answer_older_than_what_was_heard_is_read_again_before_anything_passes(house: House) -> None:
    bob = await joined(house, "bob")
    hold = house.store.hold("members", after=True)
    house.feeds.members_heard(ROOM, house.store.remove(ROOM, "ann").members_version)
    await hold.reached.wait()
    bob.removed_in = house.store.remove(ROOM, "bob").members_version
    house.feeds.offer(house.store.put(ROOM))
    hold.let_go()
    await settle()
    assert bob.seqs == []
    assert not bob.is_live


async def test_a_version_that_no_read_confirms_holds_messages_back_without_hammering_the_store(house: House) -> None:
    await joined(house)
    house.feeds.offer(replace(house.store.put(ROOM), members_version=9))
    await settle()
    reads = house.store.calls["members"]
    for _ in range(5):
        house.feeds.offer(house.store.put(ROOM))
        await settle()
    assert house.store.calls["members"] == reads <= 3
    assert house.let_through(ROOM) == []
    house.store.rooms[ROOM].version = 9
    house.advance(LIMITS.retry_s)
    await settle()
    assert house.let_through(ROOM) == [1, 2, 3, 4, 5, 6]


async def test_a_page_that_was_stored_after_a_removal_is_not_handed_on_before_the_members_are_read(house: House) -> None:
    bob = await joined(house, "bob")
    house.store.put(ROOM)
    bob.removed_in = house.store.remove(ROOM, "bob").members_version
    house.store.put(ROOM)
    house.feeds.compare_now()
    house.feeds.offer(house.store.put(ROOM))
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert house.let_through(ROOM) == [1, 2, 3]
    assert not bob.is_live


async def test_a_removal_first_seen_in_a_page_comes_before_that_page(house: House) -> None:
    bob = await joined(house, "bob")
    hold = house.store.hold("heads")
    one, two = house.store.put(ROOM), house.store.put(ROOM)
    house.feeds.offer(two)
    house.advance(LIMITS.gap_wait_s)
    await hold.reached.wait()
    bob.removed_in = house.store.remove(ROOM, "bob").members_version
    house.store.put(ROOM)
    hold.let_go()
    await settle()
    assert house.events[0] == ("members of " + ROOM, 2)
    assert house.let_through(ROOM) == [one.seq, two.seq, 3]
    assert not bob.is_live


async def test_the_deletion_of_a_room_is_told_and_ends_its_feed(house: House) -> None:
    reader = await joined(house)
    change = await house.store.delete_room(ROOM)
    assert change is not None
    house.feeds.changed(change)
    await settle()
    assert house.events == [("members of " + ROOM, 2)]
    assert not reader.is_live
    assert not house.feeds._feeds


async def test_a_room_that_is_gone_from_the_store_has_no_members(house: House) -> None:
    reader = await joined(house)
    del house.store.rooms[ROOM]
    house.feeds.members_heard(ROOM, 2)
    await settle()
    assert house.events == [("members of " + ROOM, 0)]
    assert not reader.is_live


async def test_a_gap_in_a_room_that_was_deleted_meanwhile_is_given_up(house: House) -> None:
    reader = await joined(house)
    house.store.put(ROOM)
    hold = house.store.hold("heads")
    house.feeds.offer(house.store.put(ROOM))
    house.advance(LIMITS.gap_wait_s)
    await hold.reached.wait()
    house.store.rooms[ROOM].deleted = True
    hold.let_go()
    await settle()
    assert reader.seqs == []
    assert not reader.feed.sequencer.is_behind


# The beginning


async def test_a_feed_starts_at_the_last_number_of_the_store(house: House) -> None:
    house.store.put(ROOM)
    last = house.store.put(ROOM)
    feed = house.feeds.acquire(ROOM)
    await house.feeds.ready(feed)
    assert feed.position == 2
    assert str(feed.here("e1")) == last.position
    assert feed.recent_after(2) == ()
    assert feed.recent_after(1) is None


async def test_what_comes_while_a_feed_begins_is_neither_lost_nor_doubled(house: House) -> None:
    house.store.put(ROOM)
    hold = house.store.hold("members", after=True)
    feed = house.feeds.acquire(ROOM)
    begins = asyncio.gather(house.feeds.ready(feed), house.feeds.ready(feed))
    await hold.reached.wait()
    two = house.store.put(ROOM)
    house.store.put(ROOM)  # its record is lost
    for message in (house.store.put(ROOM), two, two):
        house.feeds.offer(message)
    hold.let_go()
    await begins
    assert house.let_through(ROOM) == [2]
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert house.let_through(ROOM) == [2, 3, 4]
    assert house.store.calls["members"] == 1


async def test_a_change_heard_of_while_a_feed_begins_is_read_before_anything_passes(house: House) -> None:
    hold = house.store.hold("message_at")
    house.store.put(ROOM)
    feed = house.feeds.acquire(ROOM)
    begins = asyncio.create_task(house.feeds.ready(feed))
    await hold.reached.wait()
    house.feeds.changed(house.store.remove(ROOM, "bob"))
    house.feeds.offer(house.store.put(ROOM))
    hold.let_go()
    await begins
    await settle()
    assert house.events == [("members of " + ROOM, 2), (ROOM, 2)]


async def test_a_comparison_while_a_feed_begins_is_not_lost(house: House) -> None:
    house.store.put(ROOM)
    hold = house.store.hold("message_at")
    feed = house.feeds.acquire(ROOM)
    begins = asyncio.create_task(house.feeds.ready(feed))
    await hold.reached.wait()
    house.store.put(ROOM)
    house.feeds.compare_now()
    await settle()
    hold.let_go()
    await begins
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert house.let_through(ROOM) == [2]


async def test_a_feed_of_no_room_is_refused(house: House) -> None:
    assert await refusal(house, "nowhere") is Cause.NO_SUCH_ROOM


async def test_a_feed_cannot_begin_without_the_store_and_can_when_it_is_back(house: House) -> None:
    house.store.down = True
    assert await refusal(house) is Cause.STORE_UNAVAILABLE
    house.store.down = False
    await house.feeds.ready(house.feeds.acquire(ROOM))


async def test_one_who_gives_up_waiting_takes_nothing_from_the_others(house: House) -> None:
    hold = house.store.hold("members")
    first, second = house.feeds.acquire(ROOM), house.feeds.acquire(ROOM)
    gives_up = asyncio.create_task(house.feeds.ready(first))
    waits = asyncio.create_task(house.feeds.ready(second))
    await hold.reached.wait()
    gives_up.cancel()
    await settle()
    house.feeds.release(first)
    hold.let_go()
    await waits
    assert second.position == 0


# The end


async def test_whoever_leaves_while_the_store_is_read_hears_nothing_more(house: House) -> None:
    reader = await joined(house)
    house.store.put(ROOM)
    hold = house.store.hold("history", after=True)
    house.feeds.offer(house.store.put(ROOM))
    house.advance(LIMITS.gap_wait_s)
    await hold.reached.wait()
    reader.end()
    hold.let_go()
    await settle()
    assert house.events == []
    assert reader.feed.work is None
    assert not house.feeds._feeds


async def test_a_feed_left_and_taken_up_again_begins_anew(house: House) -> None:
    first = await joined(house)
    house.store.put(ROOM)
    house.feeds.offer(house.store.put(ROOM))
    first.end()
    again = await joined(house)
    house.advance(60)
    house.feeds.offer(house.store.put(ROOM))
    await settle()
    assert again.seqs == [3]
    assert first.seqs == []


async def test_closing_stops_every_read_and_timer(house: House) -> None:
    house.feeds.start()
    reader = await joined(house)
    house.store.put(ROOM)
    hold = house.store.hold("history")
    house.feeds.offer(house.store.put(ROOM))
    house.advance(LIMITS.gap_wait_s)
    await hold.reached.wait()
    house.feeds.compare_now()
    await house.feeds.close()
    assert reader.feed.work is None
    house.store.calls.clear()
    house.feeds.compare_now()
    house.feeds.offer(house.store.put(ROOM))
    reader.end()
    house.advance(3600)
    await settle()
    assert not house.store.calls
    assert house.events == []


# When the store is down


async def test_a_read_that_failed_is_made_again_until_it_succeeds(house: House) -> None:
    reader = await joined(house)
    house.store.down = True
    house.store.put(ROOM)
    house.feeds.offer(house.store.put(ROOM))
    house.advance(LIMITS.gap_wait_s)
    await settle()
    house.advance(LIMITS.retry_s)
    await settle()
    assert house.store.calls["heads"] == 2
    assert reader.seqs == []
    house.store.down = False
    house.advance(LIMITS.retry_s)
    await settle()
    assert reader.seqs == [1, 2]
    house.feeds.offer(house.store.put(ROOM))
    assert reader.seqs == [1, 2, 3]


async def test_a_store_that_is_down_is_not_asked_for_every_message(house: House) -> None:
    await joined(house)
    house.store.down = True
    house.feeds.members_heard(ROOM, 2)
    for _ in range(10):
        house.feeds.offer(house.store.put(ROOM))
        await settle()
    assert house.store.calls["members"] == 1


async def test_whoever_leaves_while_the_store_is_down_leaves_no_timer_behind(house: House) -> None:
    reader = await joined(house)
    house.store.down = True
    house.feeds.members_heard(ROOM, 2)
    await settle()
    reader.end()
    house.store.calls.clear()
    house.advance(3600)
    await settle()
    assert not house.store.calls


async def test_a_change_heard_of_while_the_last_one_is_read_is_read_as_well(house: House) -> None:
    ann, bob = await joined(house), await joined(house, "bob")
    house.store.add(ROOM, "eve")
    hold = house.store.hold("members", after=True)
    house.feeds.changed(house.store.remove(ROOM, "eve"))
    await hold.reached.wait()
    hold.let_go()
    second = house.store.remove(ROOM, "bob")
    bob.removed_in = second.members_version
    asyncio.get_running_loop().call_soon(house.feeds.changed, second)
    house.feeds.offer(house.store.put(ROOM))
    await settle()
    assert (ann.seqs, bob.seqs) == ([1], [])


async def test_a_gap_in_a_room_that_is_gone_is_given_up(house: House) -> None:
    reader = await joined(house)
    house.store.put(ROOM)
    house.feeds.offer(house.store.put(ROOM))
    del house.store.rooms[ROOM]
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert not reader.feed.sequencer.is_behind
    assert reader.seqs == []


async def test_closing_before_the_start_does_nothing(house: House) -> None:
    await house.feeds.close()


# The comparison


async def compared_at(house: House, seconds: int) -> list[int]:
    """In which of the next seconds all rooms are compared."""
    at = []
    for second in range(1, seconds + 1):
        before = house.store.calls["heads"]
        house.advance(1)
        await settle()
        if house.store.calls["heads"] > before:
            at.append(second)
    return at


async def test_rooms_are_compared_every_30_s(house: House) -> None:
    await joined(house)
    house.feeds.start()
    assert await compared_at(house, 61) == [30, 60]


async def test_rooms_are_compared_every_2_s_while_the_relay_is_down(house: House) -> None:
    await joined(house)
    house.feeds.start()
    house.relay_is_up = False
    assert await compared_at(house, 6) == [2, 4, 6]
    house.relay_is_up = True
    assert await compared_at(house, 40) == [30]


async def test_a_relay_that_goes_down_between_two_comparisons_is_noticed(house: House) -> None:
    await joined(house)
    house.feeds.start()
    assert await compared_at(house, 9) == []
    house.relay_is_up = False
    assert await compared_at(house, 3) == [1, 3]


async def test_a_comparison_finds_messages_and_removals_that_nobody_told_of(house: House) -> None:
    ann, bob = await joined(house), await joined(house, "bob")
    house.store.put(ROOM)
    bob.removed_in = house.store.remove(ROOM, "bob").members_version
    house.store.put(ROOM)
    house.feeds.compare_now()
    await settle()
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert ann.seqs == [1, 2]
    assert not bob.is_live


async def test_a_reset_during_a_comparison_is_compared_again(house: House) -> None:
    reader = await joined(house)
    hold = house.store.hold("heads", after=True)
    house.feeds.compare_now()
    await hold.reached.wait()
    house.store.put(ROOM)  # lost with the reset, and too late for the comparison that runs
    house.feeds.compare_now()
    hold.let_go()
    await settle()
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert reader.seqs == [1]


async def test_a_comparison_that_failed_is_made_again_soon(house: House) -> None:
    reader = await joined(house)
    house.store.put(ROOM)
    house.store.down = True
    house.feeds.compare_now()
    await settle()
    house.store.down = False
    house.advance(LIMITS.retry_s)
    await settle()
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert reader.seqs == [1]


async def test_many_rooms_are_compared_in_slices() -> None:
    house = House(feeds=FeedLimits(rooms_per_comparison=4))
    for number in range(10):
        room = house.store.make_room(f"r{number}")
        await house.feeds.ready(house.feeds.acquire(room))
        house.store.put(room)
    house.feeds.compare_now()
    del house.store.rooms["r3"]  # unknown by now
    await settle()
    assert house.store.calls["heads"] == 3
    house.advance(1)
    await settle()
    assert len(house.events) == 9


async def test_a_room_left_while_it_is_compared_is_passed_over(house: House) -> None:
    reader = await joined(house)
    hold = house.store.hold("heads", after=True)
    house.feeds.compare_now()
    await hold.reached.wait()
    reader.end()
    hold.let_go()
    await settle()
    assert house.events == []


async def test_the_stores_error_never_leaves_the_feeds(house: House) -> None:
    reader = await joined(house)
    house.store.down = True
    with pytest.raises(StoreUnavailable):
        await house.rooms.read(ROOM)
    house.feeds.members_heard(ROOM, 2)
    house.feeds.compare_now()
    await settle()
    assert reader.is_live


# A store that went back


async def reading_at(house: House, seq: int) -> Reader:
    """A reader of a room in which so many messages were said and let through."""
    reader = await joined(house)
    for _ in range(seq):
        house.feeds.offer(house.store.put(ROOM))
    assert reader.seqs == list(range(1, seq + 1))
    return reader


def put_back(house: House, last_seq: int) -> None:
    """Put a back-up of the room back, in which it had so many messages."""
    del house.store.rooms[ROOM].rows[last_seq:]


async def test_a_comparison_finds_that_messages_are_gone_that_were_let_through(house: House) -> None:
    await reading_at(house, 3)
    house.feeds.compare_now()
    await settle()
    assert house.went_back == []
    put_back(house, 2)
    house.feeds.compare_now()
    await settle()
    (objection,) = house.went_back
    assert ROOM in objection
    assert "number 2, and number 3 was there before" in objection
    assert "stompgate new-epoch" in objection


async def test_a_comparison_finds_that_a_change_of_members_is_undone(house: House) -> None:
    await joined(house)
    house.feeds.changed(house.store.remove(ROOM, "bob"))
    await settle()
    house.store.rooms[ROOM].version = 1
    house.feeds.compare_now()
    await settle()
    (objection,) = house.went_back
    assert "version 1, and version 2 was there before" in objection


async def test_a_page_is_not_handed_on_if_the_store_went_back(house: House) -> None:
    reader = await reading_at(house, 3)
    house.feeds.changed(house.store.remove(ROOM, "bob"))
    await settle()
    house.store.rooms[ROOM].version = 1
    house.store.put(ROOM)
    house.feeds.offer(house.store.put(ROOM))
    house.advance(LIMITS.gap_wait_s)
    await settle()
    assert len(house.went_back) == 1
    assert reader.seqs == [1, 2, 3]


async def test_a_room_that_was_deleted_did_not_go_back(house: House) -> None:
    await reading_at(house, 3)
    await house.store.delete_room(ROOM)
    put_back(house, 0)
    house.feeds.compare_now()
    await settle()
    assert house.went_back == []


async def test_an_answer_older_than_what_came_meanwhile_did_not_go_back(house: House) -> None:
    reader = await reading_at(house, 1)
    hold = house.store.hold("heads", after=True)
    house.feeds.compare_now()
    await hold.reached.wait()
    house.feeds.offer(house.store.put(ROOM))
    house.feeds.changed(house.store.remove(ROOM, "bob"))
    await settle()
    assert reader.seqs == [1, 2]
    hold.let_go()
    await settle()
    assert house.went_back == []
    assert house.store.calls["heads"] == 1
