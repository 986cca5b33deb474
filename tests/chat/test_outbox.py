"""What is stored here reaches the other servers at last, whatever the relay and the store do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from stompgate.chat.outbox import Outbox, OutboxLimits, Owed
from stompgate.model.messages import ChatMessage, Draft
from stompgate.model.records import ChatRecord, Record
from stompgate.ports.relay import Acknowledge, Answer, Departed, RelayListener
from stompgate.ports.store import Stored
from tests.fakes import FakeClock
from tests.steered_store import SteeredStore

from .audience import settle

ROOM = "r1"
LIMITS = OutboxLimits(marks=3, sweep_records=4, close_s=0.01)


class Relay:
    """A relay whose acknowledgements a test gives."""

    def __init__(self) -> None:
        self.published: list[Record] = []
        self.waiting: list[Acknowledge] = []
        self.is_up = True

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ping(self) -> None:
        pass

    def listen(self, listener: RelayListener) -> None:
        pass

    def publish(self, record: Record, acknowledge: Acknowledge | None = None) -> None:
        self.published.append(record)
        assert acknowledge is not None
        self.waiting.append(acknowledge)

    def listen_for_departures(self, departed: Departed) -> None:
        pass

    def acknowledge(self, answer: Answer = Answer.TAKEN) -> None:
        waiting, self.waiting = self.waiting, []
        for acknowledge in waiting:
            acknowledge(answer)

    @property
    def seqs(self) -> list[int]:
        return [record.message.seq for record in self.published if isinstance(record, ChatRecord)]


class Office:
    def __init__(self, limits: OutboxLimits = LIMITS) -> None:
        self.store = SteeredStore()
        self.store.make_room(ROOM)
        self.relay = Relay()
        self.clock = FakeClock()
        self.offered: list[Owed] = []
        self.may_publish = True
        offer = self.offered.append
        self.outbox = Outbox(self.store, self.relay, self.clock, offer, limits, may_publish=lambda: self.may_publish)

    async def append(self, count: int = 1) -> list[ChatMessage]:
        """Messages that this server stored, with their marks."""
        first = self.store.rooms[ROOM].last_seq
        drafts = [Draft(f"m{first + at}", ROOM, "ann", "hello", None, 0, 1) for at in range(count)]
        return [outcome.message for outcome in await self.store.append(drafts) if isinstance(outcome, Stored)]

    async def say(self, count: int = 1) -> None:
        for message in await self.append(count):
            self.outbox.stored(message)

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await settle()


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    yield office
    office.store.down = False
    await office.outbox.close()


async def test_what_is_stored_is_offered_here_and_published_and_its_mark_cleared(office: Office) -> None:
    await office.say(7)
    assert len(office.offered) == len(office.relay.published) == 7
    office.relay.acknowledge()
    assert len(office.store.owed) == 7
    await office.advance(LIMITS.mark_every_s)
    assert office.store.owed == []
    assert office.store.calls["mark_relayed"] == 3


async def test_a_change_of_a_room_goes_the_same_way(office: Office) -> None:
    change = await office.store.delete_room(ROOM)
    assert change is not None
    office.outbox.announce(change)
    assert office.offered == office.relay.published == [change]
    office.relay.acknowledge()
    await office.advance(LIMITS.mark_every_s)
    assert office.store.owed == []


async def test_a_message_sent_again_is_offered_again_but_not_twice_on_the_way(office: Office) -> None:
    (message,) = await office.append()
    office.outbox.stored(message)
    office.outbox.stored(message)
    assert len(office.offered) == 2
    assert office.relay.seqs == [1]
    office.relay.acknowledge()
    office.outbox.stored(message)
    assert office.relay.seqs == [1, 1]


async def test_a_sweep_publishes_what_an_earlier_life_left_and_offers_it_here(office: Office) -> None:
    await office.append(3)
    office.outbox.start()
    await settle()
    assert office.relay.seqs == [1, 2, 3]
    assert len(office.offered) == office.outbox.swept == 3


async def test_nothing_is_published_while_it_may_not_be_and_all_of_it_later(office: Office) -> None:
    await office.append(2)
    office.may_publish = False
    office.outbox.start()
    await office.say()
    await office.advance(LIMITS.sweep_every_s)
    assert office.relay.published == []
    assert len(office.offered) == 1, "here the message is delivered nevertheless"
    office.may_publish = True
    await office.advance(LIMITS.sweep_every_s)
    assert office.relay.seqs == [1, 2, 3]


async def test_a_sweep_passes_over_what_is_on_the_way_or_acknowledged(office: Office) -> None:
    office.outbox.start()
    await settle()
    await office.say(2)
    await office.advance(LIMITS.sweep_every_s)
    office.relay.acknowledge()
    await office.say()
    office.outbox._begin_sweep()
    await settle()
    assert office.outbox.swept == 0
    assert office.relay.seqs == [1, 2, 3]


async def test_what_the_relay_did_not_take_is_published_by_the_next_sweep(office: Office) -> None:
    office.outbox.start()
    await settle()
    await office.say(2)
    office.relay.acknowledge(Answer.UNKNOWN)
    await office.advance(LIMITS.sweep_every_s)
    assert office.relay.seqs == [1, 2, 1, 2]
    office.relay.acknowledge()
    await office.advance(LIMITS.mark_every_s)
    assert office.store.owed == []


async def test_what_the_relay_refuses_for_good_is_marked_and_counted_and_blocks_nothing(office: Office) -> None:
    office.outbox.start()
    await settle()
    await office.say(2)
    with capture_logs() as lines:
        office.relay.acknowledge(Answer.REFUSED)
    await office.advance(LIMITS.mark_every_s)
    assert office.outbox.refused == 2
    assert [(line["log_level"], line["room"]) for line in lines] == [("error", ROOM)] * 2
    assert len({line["message"] for line in lines}) == 2
    assert office.store.owed == []
    await office.advance(LIMITS.sweep_every_s)
    assert office.relay.seqs == [1, 2]


async def test_while_the_relay_is_down_what_is_owed_is_counted_and_not_swept(office: Office) -> None:
    office.relay.is_up = False
    await office.append(2)
    office.outbox.start()
    await office.advance(LIMITS.sweep_every_s)
    assert office.relay.published == []
    assert (office.outbox.owed, office.outbox.swept) == (2, 0)
    office.relay.is_up = True
    await office.advance(LIMITS.sweep_every_s)
    assert office.relay.seqs == [1, 2]


async def test_a_long_rest_follows_as_fast_as_it_is_acknowledged(office: Office) -> None:
    await office.append(10)
    office.outbox.start()
    for _ in range(3):
        await settle()
        office.relay.acknowledge()
        await office.advance(LIMITS.mark_every_s)
    assert office.relay.seqs == list(range(1, 11))
    assert office.store.owed == []


async def test_a_rest_that_the_relay_refuses_is_not_published_faster(office: Office) -> None:
    await office.append(10)
    office.outbox.start()
    await settle()
    for _ in range(5):
        office.relay.acknowledge(Answer.UNKNOWN)
        await office.advance(LIMITS.mark_every_s)
    assert office.relay.seqs == [1, 2, 3, 4]


async def test_a_store_that_is_down_is_swept_when_it_is_back(office: Office) -> None:
    await office.append(2)
    office.store.down = True
    office.outbox.start()
    await office.advance(LIMITS.sweep_every_s)
    assert office.relay.seqs == []
    office.store.down = False
    await office.advance(LIMITS.sweep_every_s)
    assert office.relay.seqs == [1, 2]


@pytest.mark.parametrize("unknown", [False, True])
async def test_marks_that_could_not_be_cleared_are_found_by_a_sweep(office: Office, unknown: bool) -> None:
    office.outbox.start()
    await settle()
    await office.say(4)
    office.relay.acknowledge()
    office.store.down, office.store.lose_answers = not unknown, int(unknown)
    await office.advance(LIMITS.mark_every_s)
    office.store.down = False
    await office.advance(LIMITS.sweep_every_s)
    office.relay.acknowledge()
    await office.advance(LIMITS.mark_every_s)
    assert office.store.owed == []


async def test_marks_are_cleared_by_one_write_at_a_time(office: Office) -> None:
    hold = office.store.hold("mark_relayed")
    await office.say()
    office.relay.acknowledge()
    office.clock.advance(LIMITS.mark_every_s)
    await hold.reached.wait()
    await office.say(2)
    office.relay.acknowledge()
    await office.advance(LIMITS.mark_every_s * 10)
    assert office.store.calls["mark_relayed"] == 1
    hold.let_go()
    await settle()
    assert office.store.owed == []


async def test_an_acknowledgement_that_comes_as_the_marks_were_cleared_is_not_forgotten(office: Office) -> None:
    await office.say(2)
    first, second = office.relay.waiting
    first(Answer.TAKEN)
    office.clock.advance(LIMITS.mark_every_s)
    marking = office.outbox._marking
    assert marking is not None
    marking.remove_done_callback(office.outbox._marked)
    marking.add_done_callback(lambda task: second(Answer.TAKEN))
    marking.add_done_callback(office.outbox._marked)
    await settle()
    await office.advance(LIMITS.mark_every_s)
    assert office.store.owed == []


async def test_closing_clears_the_marks_that_are_due_and_leaves_nothing_behind(office: Office) -> None:
    office.outbox.start()
    await settle()
    await office.say(2)
    office.relay.acknowledge()
    await office.say()
    await office.outbox.close()
    (owed,) = office.store.owed
    assert isinstance(owed, ChatRecord)
    assert owed.message.id == "m2"
    office.relay.acknowledge()
    office.store.calls.clear()
    await office.advance(3600)
    assert not office.store.calls


async def test_closing_during_a_sweep_and_a_mark_ends_both(office: Office) -> None:
    marks = office.store.hold("mark_relayed")
    sweep = office.store.hold("unrelayed", after=True)
    await office.say()
    office.relay.acknowledge()
    office.outbox.start()
    await sweep.reached.wait()
    office.clock.advance(LIMITS.mark_every_s)
    await marks.reached.wait()
    closes = asyncio.create_task(office.outbox.close())
    await settle()
    marks.let_go()
    await closes
    assert office.store.owed == []
    office.store.calls.clear()
    await office.advance(3600)
    assert not office.store.calls


async def test_at_the_end_what_is_on_the_way_is_answered_and_marked() -> None:
    office = Office(replace(LIMITS, close_s=30.0))
    office.outbox.start()
    await settle()
    await office.say(2)
    closing = asyncio.create_task(office.outbox.close())
    await settle()
    assert office.store.owed != []
    office.relay.acknowledge()
    await closing
    assert office.store.owed == []
    assert office.outbox.relayed_s.count == 2


@pytest.mark.parametrize("is_up", [False, True])
async def test_at_the_end_a_relay_that_does_not_answer_is_not_waited_for_longer(office: Office, is_up: bool) -> None:
    office.outbox.start()
    await settle()
    await office.say(2)
    office.relay.is_up = is_up
    await office.outbox.close()
    assert (office.outbox.on_the_way, len(office.store.owed)) == (2, 2)
