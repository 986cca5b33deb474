"""A client that comes back is given what it missed, once and in order, or is told honestly that it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from stompgate.chat.feeds import FeedLimits
from stompgate.chat.recovery import Begun, RecoveryLimits
from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage
from stompgate.ports.store import StoreUnavailable

from .audience import House, Reader, settle

ROOM = "r1"
FEEDS = FeedLimits(ring_messages=4, page_messages=3)
LIMITS = RecoveryLimits(missed_messages=12, page_messages=3, burst_bytes=2048)


@pytest.fixture
def house() -> House:
    house = House(feeds=FEEDS, recovery=LIMITS)
    house.store.make_room(ROOM)
    return house


def publish(house: House, count: int = 1, content: str = "hello") -> list[ChatMessage]:
    """Messages that are stored, and whose records come at once."""
    messages = [house.store.put(ROOM, content) for _ in range(count)]
    for message in messages:
        house.feeds.offer(message)
    return messages


async def test_one_who_asks_for_nothing_is_given_what_comes_from_now_on(house: House) -> None:
    last = publish(house, 3)[-1]
    reader = Reader(house, ROOM)
    begun = await reader.subscribe()
    assert (begun.recovered, begun.position) == (None, last.position)
    publish(house, 2)
    assert reader.seqs == [4, 5]


class Overtaken(Reader):
    """One during whose last check a message is let through."""

    checks = 0

    def may_receive(self, members_version: int) -> Awaitable[None] | None:
        self.checks += 1
        return self._meanwhile() if self.checks == 1 else super().may_receive(members_version)

    async def _meanwhile(self) -> None:
        publish(self.house)


@pytest.mark.parametrize(("since", "recovered"), [(None, None), ("other.2.00000000", False)])
async def test_who_begins_anew_is_given_nothing_before_it_is_told_where(
    house: House, since: str | None, recovered: bool | None
) -> None:
    publish(house, 3)
    reader = Overtaken(house, ROOM)
    begun = await reader.subscribe(since)
    assert (begun.recovered, begun.position) == (recovered, house.store.rooms[ROOM].messages[3].position)
    assert reader.seqs == []
    publish(house)
    assert reader.seqs == [5]


async def test_the_position_of_a_room_without_messages_brings_back_all_of_them(house: House) -> None:
    begun = await Reader(house, ROOM).subscribe()
    assert begun.position == "e1.0."
    messages = publish(house, 7)
    back = Reader(house, ROOM)
    again = await back.subscribe(begun.position)
    assert (again.recovered, again.position) == (True, messages[-1].position)
    assert back.seqs == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("seen", range(1, 11))
@pytest.mark.parametrize("has_listener", [True, False])
async def test_a_client_comes_back_from_every_position(house: House, seen: int, has_listener: bool) -> None:
    if has_listener:  # then the newest messages come from memory
        await Reader(house, ROOM).subscribe()
    messages = publish(house, 10)
    back = Reader(house, ROOM)
    begun = await back.subscribe(messages[seen - 1].position)
    assert (begun.recovered, begun.position) == (True, messages[-1].position)
    assert back.seqs == list(range(seen + 1, 11))
    publish(house)
    assert back.seqs[-1] == 11


async def test_what_memory_has_is_not_read(house: House) -> None:
    await Reader(house, ROOM).subscribe()
    messages = publish(house, 10)
    house.store.calls.clear()
    await Reader(house, ROOM).subscribe(messages[5].position)
    assert house.store.calls["history"] == 0
    await Reader(house, ROOM).subscribe(messages[4].position)
    assert house.store.calls["history"] == 1


@pytest.mark.parametrize(
    "since",
    [
        "",
        "nonsense",
        "e1.1",
        "e1.x.00000000",
        "e2.1.00000000",
        "e1.1.00000000",
        "e1.-1.",
        "e1.9.00000000",
        "e1.999999999999999999999999.00000000",
    ],
)
async def test_a_position_that_is_not_of_this_room_is_not_recovered(house: House, since: str) -> None:
    last = publish(house, 3)[-1]
    reader = Reader(house, ROOM)
    begun = await reader.subscribe(since)
    assert (begun.recovered, begun.position) == (False, last.position)
    assert reader.seqs == []
    publish(house)
    assert reader.seqs == [4]


async def test_as_much_as_the_setting_allows_is_replayed_and_no_more(house: House) -> None:
    messages = publish(house, 14)
    enough, too_much = Reader(house, ROOM), Reader(house, ROOM)
    assert (await enough.subscribe(messages[1].position)).recovered
    assert not (await too_much.subscribe(messages[0].position)).recovered
    assert enough.seqs == list(range(3, 15))
    assert too_much.seqs == []


@pytest.mark.parametrize(("pruned", "recovered"), [(2, True), (3, False), (6, False)])
async def test_a_pruned_position_is_not_recovered(house: House, pruned: int, recovered: bool) -> None:
    messages = publish(house, 6)
    house.store.forget(ROOM, pruned)
    begun = await Reader(house, ROOM).subscribe(messages[2].position)
    assert begun.recovered is recovered


async def test_from_the_very_beginning_nothing_may_be_pruned(house: House) -> None:
    publish(house, 3)
    house.store.forget(ROOM, 1)
    reader = Reader(house, ROOM)
    assert (await reader.subscribe("e1.0.")).recovered is False
    assert reader.seqs == []


async def test_a_room_whose_last_message_is_pruned_has_a_position_that_says_so(house: House) -> None:
    publish(house, 3)
    house.store.forget(ROOM, 3)
    begun = await Reader(house, ROOM).subscribe()
    assert begun.position == "e1.3."
    publish(house)
    assert (await Reader(house, ROOM).subscribe(begun.position)).recovered is False


@pytest.mark.parametrize("has_listener", [True, False])
async def test_messages_pruned_during_the_catch_up_are_owned_up_to(house: House, has_listener: bool) -> None:
    messages = publish(house, 9)
    back = Reader(house, ROOM)
    hold = house.store.hold("history")
    subscribes = asyncio.create_task(back.subscribe(messages[0].position))
    await hold.reached.wait()
    house.store.forget(ROOM, 5 if has_listener else 9)
    hold.let_go()
    begun = await subscribes
    assert begun.recovered is False
    assert back.seqs == ([6, 7, 8, 9] if has_listener else [])
    publish(house)
    assert back.seqs[-1] == 10


async def test_a_client_ahead_of_this_server_is_given_nothing_twice(house: House) -> None:
    """It was given 4 to 6 by another server; here their records have not come yet."""
    publish(house, 3)
    await Reader(house, ROOM).subscribe()
    ahead = [house.store.put(ROOM) for _ in range(3)]
    back = Reader(house, ROOM)
    begun = await back.subscribe(ahead[1].position)
    assert (begun.recovered, begun.position) == (True, ahead[1].position)
    for message in ahead:
        house.feeds.offer(message)
    assert back.seqs == [6]


async def test_a_page_may_bring_more_than_this_server_has_heard_of(house: House) -> None:
    messages = publish(house, 3)
    await Reader(house, ROOM).subscribe()
    ahead = [house.store.put(ROOM) for _ in range(3)]
    back = Reader(house, ROOM)
    begun = await back.subscribe(messages[1].position)
    assert (begun.recovered, begun.position) == (True, ahead[1].position)
    assert back.seqs == [3, 4, 5]
    for message in ahead:
        house.feeds.offer(message)
    assert back.seqs == [3, 4, 5, 6]


async def test_nothing_comes_between_the_joining_and_the_answer(house: House) -> None:
    """A client that takes the position of the RECEIPT must not be thrown back behind a message it was given before."""
    messages = publish(house, 2)
    reader = Reader(house, ROOM)
    hold = house.store.hold("message_at", after=True)
    subscribes = asyncio.create_task(reader.subscribe(messages[0].position))
    await hold.reached.wait()
    publish(house, 3)
    hold.let_go()
    begun = await subscribes
    assert begun.position == reader.got[-1].position


async def test_a_subscription_that_falls_behind_catches_up(house: House) -> None:
    reader = Reader(house, ROOM)
    await reader.subscribe()
    house.live[ROOM].remove(reader)
    publish(house, 2)
    house.live[ROOM].append(reader)
    publish(house, 6)
    await settle()
    assert reader.catch_ups == 1
    assert reader.seqs == list(range(1, 9))
    assert reader.is_joined


# Pace


async def test_a_slow_client_is_given_no_more_than_a_burst_before_it_takes_it(house: House) -> None:
    messages = publish(house, 12, content="x" * 400)
    back = Reader(house, ROOM)
    subscribes = asyncio.create_task(back.subscribe(messages[0].position))
    back.blocked = asyncio.get_running_loop().create_future()
    await settle()
    assert back.seqs == []
    for _ in range(3):
        await let_take(back, then_block=True)
        await settle()
        assert back.pages_while_blocked <= 1
    assert 0 < len(back.got) <= 6
    assert not subscribes.done()
    await let_take(back, then_block=False)
    assert (await subscribes).recovered
    assert back.seqs == list(range(2, 13))


async def come_back_slowly(house: House, last: ChatMessage) -> tuple[Reader, asyncio.Task[Begun]]:
    """One who had that message last, and takes no more yet; and its SUBSCRIBE, which waits for that."""
    back = Reader(house, ROOM)
    back.blocked = asyncio.get_running_loop().create_future()
    subscribes = asyncio.create_task(back.subscribe(last.position))
    await settle()
    return back, subscribes


async def let_take(reader: Reader, *, then_block: bool) -> None:
    """The client takes what it was given; ``then_block``: and nothing more once it is given the next message."""
    blocked, reader.blocked = reader.blocked, None
    assert blocked is not None
    blocked.set_result(None)
    reader.pages_while_blocked = 0
    before = len(reader.got)
    while then_block and reader.blocked is None:
        await asyncio.sleep(0)
        if len(reader.got) > before:
            reader.blocked = asyncio.get_running_loop().create_future()


async def test_who_had_to_wait_for_its_client_is_given_nothing_that_has_become_too_much_meanwhile(house: House) -> None:
    """Its connection may be given something else while it waits, and owe as many ACKs as it may, or take no more again."""
    messages = publish(house, 12, content="x" * 400)
    back, subscribes = await come_back_slowly(house, messages[0])
    await let_take(back, then_block=True)
    await settle()
    given = len(back.got)
    assert 0 < given < 11
    back.full_at = 0
    await let_take(back, then_block=False)
    await settle()
    assert len(back.got) == given
    back.full_at = None
    for _ in range(2):
        relief = back.blocked
        assert relief is not None
        back.blocked = asyncio.get_running_loop().create_future()
        relief.set_result(None)
        await settle()
        assert len(back.got) == given
    await let_take(back, then_block=False)
    assert (await subscribes).recovered
    assert back.seqs == list(range(2, 13))


class Leaving(Reader):
    """One who takes more whenever it is asked first, and no more when it is asked again."""

    asked = 0

    def drained(self) -> Awaitable[None] | None:
        self.asked += 1
        if self.asked > 1 and self.blocked is None:
            self.blocked = asyncio.get_running_loop().create_future()
        return super().drained()


@pytest.mark.parametrize("has_listener", [True, False])
async def test_who_takes_no_more_when_its_page_is_read_is_given_nothing_of_it(house: House, has_listener: bool) -> None:
    if has_listener:
        await Reader(house, ROOM).subscribe()
    messages = publish(house, 4)
    back = Leaving(house, ROOM)
    subscribes = asyncio.create_task(back.subscribe(messages[0].position))
    await settle()
    assert (back.asked, back.seqs) == (2, [])
    subscribes.cancel()


async def test_messages_that_come_while_a_slow_client_catches_up_are_given_in_their_turn(house: House) -> None:
    messages = publish(house, 6)
    back, subscribes = await come_back_slowly(house, messages[0])
    publish(house, 5)
    await let_take(back, then_block=False)
    assert (await subscribes).recovered
    publish(house, 1)
    assert back.seqs == list(range(2, 13))


async def test_what_a_fan_out_in_progress_gives_meanwhile_is_not_given_again(house: House) -> None:
    messages = publish(house, 9, content="x" * 1000)
    back, subscribes = await come_back_slowly(house, messages[0])
    await let_take(back, then_block=True)
    given = back.last_seq
    back.give(messages[given])
    await let_take(back, then_block=False)
    assert (await subscribes).recovered
    assert back.seqs == list(range(2, 10))


# Members


async def refused(reader: Reader, since: str | None = None) -> Cause:
    with pytest.raises(Refusal) as refusal:
        await reader.subscribe(since)
    assert not reader.is_joined
    return refusal.value.cause


async def test_no_one_begins_in_a_room_that_is_not_there(house: House) -> None:
    assert await refused(Reader(house, "nowhere")) is Cause.NO_SUCH_ROOM
    reader = Reader(house, ROOM, "eve")
    assert await refused(reader) is Cause.NO_SUCH_ROOM


async def test_nothing_begins_without_the_store(house: House) -> None:
    last = publish(house, 2)[0]
    await Reader(house, ROOM).subscribe()
    house.store.down = True
    with pytest.raises(StoreUnavailable):
        await Reader(house, ROOM).subscribe(last.position)


@pytest.mark.parametrize("since", [None, "e1.0."])
async def test_one_removed_between_the_check_and_the_joining_does_not_join(house: House, since: str | None) -> None:
    await house.rooms.read(ROOM)  # bob is known as a member
    hold = house.store.hold("members")
    bob = Reader(house, ROOM, "bob")
    subscribes = asyncio.create_task(bob.subscribe(since))
    await hold.reached.wait()
    bob.removed_in = house.store.remove(ROOM, "bob").members_version
    house.store.put(ROOM)
    hold.let_go()
    with pytest.raises(Refusal):
        await subscribes
    publish(house)
    assert bob.seqs == []
    assert not bob.is_joined


async def test_one_removed_while_the_room_is_deleted_does_not_join(house: House) -> None:
    await house.rooms.read(ROOM)
    hold = house.store.hold("members")
    reader = Reader(house, ROOM)
    subscribes = asyncio.create_task(reader.subscribe())
    await hold.reached.wait()
    await house.store.delete_room(ROOM)
    hold.let_go()
    with pytest.raises(Refusal):
        await subscribes
    assert not reader.is_joined


async def test_a_page_stored_after_a_removal_is_not_given_though_no_record_told_of_it(house: House) -> None:
    messages = publish(house, 5)
    bob = Reader(house, ROOM, "bob")
    hold = house.store.hold("history")
    subscribes = asyncio.create_task(bob.subscribe(messages[0].position))
    await hold.reached.wait()
    bob.removed_in = house.store.remove(ROOM, "bob").members_version
    house.store.forget(ROOM, 4)
    house.store.put(ROOM)
    hold.let_go()
    with pytest.raises(Refusal):
        await subscribes
    assert bob.seqs == []


async def test_one_removed_while_catching_up_is_given_only_what_is_older(house: House) -> None:
    messages = publish(house, 10)
    bob = Reader(house, ROOM, "bob")
    bob.blocked = asyncio.get_running_loop().create_future()
    subscribes = asyncio.create_task(bob.subscribe(messages[0].position))
    await settle()
    change = house.store.remove(ROOM, "bob")
    bob.removed_in = change.members_version
    house.feeds.changed(change)
    publish(house, 3)
    await settle()
    await let_take(bob, then_block=False)
    with pytest.raises(Refusal):
        await subscribes
    assert max(bob.seqs, default=0) <= 10


async def test_one_removed_while_the_acks_of_a_page_are_waited_for_is_given_no_more_of_it(house: House) -> None:
    messages = publish(house, 10)
    bob = Reader(house, ROOM, "bob")
    bob.full_at = 3
    subscribes = asyncio.create_task(bob.subscribe(messages[0].position))
    await settle()
    assert bob.seqs == [2, 3, 4]
    house.feeds.changed(house.store.remove(ROOM, "bob"))
    await settle()
    bob.full_at = None
    await let_take(bob, then_block=False)
    with pytest.raises(Refusal):
        await subscribes
    assert bob.seqs == [2, 3, 4]


async def test_a_yes_from_memory_is_asked_again_by_the_page_that_is_newer(house: House) -> None:
    """A message of newer members has come for another's feed: what is remembered of the members is forgotten by that."""
    ann = Reader(house, ROOM)
    await ann.subscribe()
    bobs_check = house.rooms.known(ROOM)
    assert bobs_check is not None
    assert "bob" in bobs_check.users
    house.store.remove(ROOM, "bob")
    house.feeds.offer(house.store.put(ROOM))
    assert house.rooms.known(ROOM) is None


async def test_two_positions_that_share_a_number_are_told_apart(house: House) -> None:
    message = publish(house, 1)[0]
    other = replace(message, id="another")
    assert other.position != message.position
    assert (await Reader(house, ROOM).subscribe(other.position)).recovered is False
