"""The desk of queues while the store is away, slow, or does not say what it did, and consumers come and go meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, cast

import pytest

from stompgate.gateway.queue_intake import QueueLimits
from stompgate.gateway.queueing import QueueDesk
from stompgate.model.causes import Cause, Refusal
from stompgate.model.queues import Claim, QueueMessage
from stompgate.model.records import QueueHint
from stompgate.ports.queues import MessageTooLarge
from stompgate.ports.relay import Relay
from stompgate.ports.store import Outcome, OutcomeUnknown, Rejected, StoreUnavailable
from stompgate.queues.memory import MemoryQueues
from stompgate.stomp.frames import Frame
from tests.fakes import FakeClock

from .scene import Scene, come, stored

DEADLINE_S = 30.0
QUEUE = "/queue/a"
AWAY, LOST, UNDONE = StoreUnavailable("away"), "done, but nobody heard", "not done, and nobody heard"
LIMITS = QueueLimits(messages=5, put_messages=4, settle_messages=3, waiting_messages=6, retry_s=0.0)

T = TypeVar("T")
Trouble = Exception | str | asyncio.Event


class SteeredQueues(MemoryQueues):
    """In memory, but ``troubles`` come at the next calls of each kind; an Event is waited for, and then all goes well."""

    def __init__(self) -> None:
        super().__init__()
        self.troubles: dict[str, list[Trouble]] = {"put": [], "claim": [], "settle": [], "look": []}
        self.calls: list[str] = []
        self.sizes: list[int] = []

    async def put(self, messages: Sequence[QueueMessage], *, limit: int, again: bool = False) -> None:
        if any(message.body == b"too large" for message in messages):
            raise MessageTooLarge("too large")
        await self._do("put", partial(super().put, messages, limit=limit, again=again))

    async def claim(self, queue: str, limit: int, *, owner: str, attempt: str, again: bool = False) -> Sequence[Claim]:
        return await self._do("claim", partial(super().claim, queue, limit, owner=owner, attempt=attempt, again=again))

    async def claimable(self, queues: Sequence[str], *, owner: str) -> Sequence[str]:
        return await self._do("look", partial(super().claimable, queues, owner=owner))

    async def settle(self, owner: str, *, consumed: Sequence[Claim], returned: Sequence[Claim]) -> None:
        self.sizes.append(max(len(consumed), len(returned)))
        await self._do("settle", partial(super().settle, owner, consumed=consumed, returned=returned))

    async def _do(self, kind: str, work: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(kind)
        trouble = self.troubles[kind].pop(0) if self.troubles[kind] else None
        await asyncio.sleep(0)
        if isinstance(trouble, asyncio.Event):
            await trouble.wait()
        elif isinstance(trouble, Exception):
            raise trouble
        elif trouble == UNDONE:
            raise OutcomeUnknown(UNDONE)
        answer = await work()
        if trouble == LOST:
            raise OutcomeUnknown(LOST)
        return answer

    @property
    def held(self) -> int:
        """How many messages are in the hands of a server."""
        return sum(one.holder is not None for queue in self._queues.values() for one in queue.values())

    @property
    def waiting(self) -> int:
        """How many messages there are."""
        return sum(map(len, self._queues.values()))


class Hints:
    """A relay that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def publish(self, record: object, acknowledge: object = None) -> None:
        assert isinstance(record, QueueHint)
        self.told.append(record.queue)


@dataclass(eq=False)
class Taker:
    """A consumer that keeps what it is given."""

    credit: int = 1
    given: list[Claim] = field(default_factory=list)
    on_give: Callable[[], None] = lambda: None

    def give(self, claim: Claim) -> None:
        self.credit -= 1
        self.given.append(claim)
        self.on_give()


class Desk:
    """A desk over steered queues."""

    def __init__(self) -> None:
        self.queues, self.clock, self.relay = SteeredQueues(), FakeClock(), Hints()
        self.may_claim = True
        self.desk = QueueDesk(
            self.queues, cast(Relay, self.relay), self.clock, LIMITS, owner="me", may_claim=lambda: self.may_claim
        )
        self.answers: list[str] = []

    def send(self, *names: str, body: bytes = b"x", queue: str = QUEUE) -> None:
        self.desk.send([QueueMessage(name, queue, (), body, 0) for name in names], self._answered)

    def _answered(self, refusal: Refusal | None) -> None:
        self.answers.append("ok" if refusal is None else refusal.cause.code)


@pytest.fixture
async def at() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    await desk.desk.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def idle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


# Putting


async def test_what_the_store_never_took_is_refused_as_that(at: Desk) -> None:
    at.queues.troubles["put"] = [AWAY]
    at.send("1")
    await until(lambda: at.answers != [])
    assert (at.answers, at.queues.calls, at.relay.told) == (["store-unavailable"], ["put"], [])


@pytest.mark.parametrize("first", [LOST, UNDONE])
async def test_what_may_have_been_put_is_tried_again_through_an_outage(at: Desk, first: str) -> None:
    at.queues.troubles["put"] = [first, AWAY, AWAY]
    at.send("1")
    await until(lambda: at.answers != [])
    assert (at.answers, at.queues.waiting, at.relay.told) == (["ok"], 1, [QUEUE])


async def test_what_was_put_and_consumed_before_the_second_try_comes_again_as_redelivered(at: Desk) -> None:
    at.queues.troubles["put"] = [LOST, gate := asyncio.Event()]
    at.send("1")
    await until(lambda: at.queues.calls == ["put", "put"])
    other = await at.queues.claim(QUEUE, 1, owner="other", attempt="other")
    assert [claim.is_redelivered for claim in other] == [False]
    await at.queues.settle("other", consumed=other, returned=[])
    gate.set()
    await until(lambda: at.answers != [])
    at.desk.join(QUEUE, taker := Taker())
    await until(lambda: taker.given != [])
    assert [claim.is_redelivered for claim in taker.given] == [True]


async def test_a_full_queue_is_no_certain_refusal_after_a_try_that_may_have_put(at: Desk) -> None:
    at.queues.troubles["put"] = [UNDONE, gate := asyncio.Event()]
    at.send("1")
    await until(lambda: at.queues.calls == ["put", "put"])
    await MemoryQueues.put(at.queues, [QueueMessage(f"o{n}", QUEUE, (), b"", 0) for n in range(5)], limit=5)
    gate.set()
    await idle()
    at.clock.advance(LIMITS.unknown_for_s)
    await until(lambda: at.answers != [])
    assert at.answers == ["outcome-unknown"]


async def test_an_unknown_outcome_is_told_after_a_while(at: Desk) -> None:
    at.queues.troubles["put"] = [UNDONE, *[AWAY] * 10_000]
    at.send("1")
    await idle()
    assert at.answers == []
    at.clock.advance(LIMITS.unknown_for_s)
    await until(lambda: at.answers != [])
    assert at.answers == ["outcome-unknown"]


async def test_only_those_for_a_full_queue_or_too_large_are_refused_among_many(at: Desk) -> None:
    at.send(*(f"full {n}" for n in range(4)), queue="/queue/full")
    await until(lambda: at.answers != [])
    at.send("a")
    at.send("f1", "f2", queue="/queue/full")
    at.send("b", body=b"too large")
    await until(lambda: len(at.answers) == 4)
    assert at.answers == ["ok", "ok", "queue-full", "body-too-long"]


async def test_what_waits_to_be_put_is_bounded(at: Desk) -> None:
    at.queues.troubles["put"] = [gate := asyncio.Event()]
    at.send("first")
    await until(lambda: at.queues.calls == ["put"])
    for number in range(3):
        at.send(f"{number}", f"{number}+")
    at.send("too many")
    await until(lambda: at.answers != [])
    assert (at.answers, at.desk.waiting_messages) == (["overloaded"], 6)
    gate.set()
    await until(lambda: len(at.answers) == 5)
    assert at.desk.waiting_messages == 0


# Claiming and dealing


async def test_a_claim_without_an_answer_is_asked_for_until_it_is_known_through_an_outage(at: Desk) -> None:
    at.send("1", "2")
    await until(lambda: at.answers != [])
    at.queues.troubles["claim"] = [LOST, AWAY, UNDONE, AWAY]
    at.desk.join(QUEUE, taker := Taker(credit=2))
    await until(lambda: len(taker.given) == 2)
    assert [claim.deliveries for claim in taker.given] == [1, 1]


async def test_what_was_claimed_for_a_consumer_that_left_goes_to_the_next(at: Desk) -> None:
    at.send("1")
    await until(lambda: at.answers != [])
    at.queues.troubles["claim"] = [gate := asyncio.Event()]
    at.desk.join(QUEUE, leaves := Taker())
    await until(lambda: at.queues.calls[-1] == "claim")
    at.desk.leave(QUEUE, leaves)
    at.desk.join(QUEUE, stays := Taker())
    gate.set()
    await until(lambda: stays.given != [])
    assert leaves.given == []
    at.desk.settle(stays.given, is_consumed=True)
    await until(lambda: at.queues.waiting == 0)


async def test_a_consumer_that_leaves_while_it_is_given_something_gets_no_more(at: Desk) -> None:
    at.send("1", "2", "3")
    await until(lambda: at.answers != [])
    taker = Taker(credit=3)
    taker.on_give = lambda: at.desk.leave(QUEUE, taker)
    at.desk.join(QUEUE, taker)
    await until(lambda: at.queues.held == 1)
    assert [claim.message.id for claim in taker.given] == ["1"]
    at.desk.leave(QUEUE, taker)  # and again, which does nothing


async def test_no_message_waits_for_a_lost_hint_longer_than_to_the_next_look(at: Desk) -> None:
    at.desk.join(QUEUE, taker := Taker())
    await idle()
    await MemoryQueues.put(at.queues, [QueueMessage("1", QUEUE, (), b"", 0)], limit=5)
    await idle()
    assert taker.given == []
    at.clock.advance(LIMITS.look_every_s)
    await until(lambda: taker.given != [])


async def test_a_hint_during_a_claim_is_not_lost(at: Desk) -> None:
    at.queues.troubles["claim"] = [gate := asyncio.Event()]
    at.desk.join(QUEUE, taker := Taker(credit=2))
    await until(lambda: at.queues.calls == ["claim"])
    at.desk.hint(QUEUE)
    gate.set()
    await until(lambda: at.queues.calls == ["claim", "claim"])
    assert taker.given == []


async def test_an_outage_is_followed_by_a_look_and_nothing_is_asked_meanwhile(at: Desk) -> None:
    await MemoryQueues.put(at.queues, [QueueMessage("1", QUEUE, (), b"", 0)], limit=5)
    at.queues.troubles["claim"] = [AWAY, AWAY]
    at.desk.join(QUEUE, taker := Taker())
    await idle()
    assert at.queues.calls == ["claim"]
    for looks in (2, 3):
        at.clock.advance(LIMITS.look_every_s)
        await idle()
        assert at.queues.calls.count("claim") == looks
    assert [claim.message.id for claim in taker.given] == ["1"]


async def test_nothing_is_claimed_while_another_process_may_act_for_this_server(at: Desk) -> None:
    await MemoryQueues.put(at.queues, [QueueMessage("1", QUEUE, (), b"", 0)], limit=5)
    at.may_claim = False
    at.desk.join(QUEUE, taker := Taker())
    await idle()
    assert at.queues.calls == []
    at.may_claim = True
    at.clock.advance(LIMITS.look_every_s)
    await until(lambda: taker.given != [])


async def test_no_look_is_made_for_a_queue_without_consumers(at: Desk) -> None:
    at.desk.join(QUEUE, taker := Taker())
    await until(lambda: at.queues.calls == ["claim"])
    await idle()
    at.desk.leave(QUEUE, taker)
    at.clock.advance(10 * LIMITS.look_every_s)
    await idle()
    assert at.queues.calls == ["claim"]


async def test_one_look_serves_all_queues_and_those_with_nothing_are_left_alone(at: Desk) -> None:
    takers = {f"/queue/{number}": Taker() for number in range(20)}
    for queue, taker in takers.items():
        at.desk.join(queue, taker)
    await idle()
    at.queues.calls.clear()
    await MemoryQueues.put(at.queues, [QueueMessage("1", "/queue/7", (), b"", 0)], limit=5)
    at.queues.troubles["look"] = [AWAY]
    for _ in range(2):
        at.clock.advance(LIMITS.look_every_s)
        await idle()
    assert at.queues.calls == ["look", "look", "claim"]
    assert [queue for queue, taker in takers.items() if taker.given] == ["/queue/7"]


# Settling


async def test_what_was_acknowledged_during_an_outage_is_settled_after_it_in_portions(at: Desk) -> None:
    at.send(*"12345")
    await until(lambda: at.answers != [])
    at.desk.join(QUEUE, taker := Taker(credit=5))
    await until(lambda: len(taker.given) == 5)
    at.queues.troubles["settle"] = [AWAY, LOST, UNDONE]
    at.desk.settle(taker.given[:1], is_consumed=True)
    at.desk.settle(taker.given[1:], is_consumed=True)
    await until(lambda: at.queues.waiting == 0)
    await until(lambda: at.desk.consumed == 5)
    assert max(at.queues.sizes) == LIMITS.settle_messages


async def test_what_is_returned_is_told_to_the_other_servers(at: Desk) -> None:
    at.send("1")
    await until(lambda: at.answers != [])
    at.desk.join(QUEUE, taker := Taker())
    await until(lambda: taker.given != [])
    at.relay.told.clear()
    at.desk.leave(QUEUE, taker)
    at.desk.settle(taker.given, is_consumed=False)
    await until(lambda: at.relay.told == [QUEUE])
    assert at.queues.held == 0


# The end


async def test_the_end_waits_for_what_was_accepted_and_takes_no_more(at: Desk) -> None:
    at.queues.troubles["put"] = [gate := asyncio.Event()]
    at.send("1")
    await until(lambda: at.queues.calls == ["put"])
    at.send("2")
    closing = asyncio.create_task(at.desk.close())
    await idle()
    at.send("late")
    await idle()
    assert (closing.done(), at.answers) == (False, ["server-stopping"])
    gate.set()
    await closing
    await until(lambda: at.answers == ["server-stopping", "ok", "ok"])
    assert at.queues.waiting == 2


async def test_the_end_comes_though_the_store_is_away(at: Desk) -> None:
    at.send("1")
    await until(lambda: at.answers != [])
    at.desk.join(QUEUE, taker := Taker())
    await until(lambda: taker.given != [])
    at.queues.troubles.update(settle=[AWAY] * 1000, claim=[UNDONE] * 1000, put=[UNDONE] * 1000)
    at.desk.settle(taker.given, is_consumed=True)
    taker.credit = 1
    at.desk.hint(QUEUE)
    at.send("2")
    await idle()
    async with asyncio.timeout(DEADLINE_S):
        await at.desk.close()
    await until(lambda: at.answers == ["ok", "outcome-unknown"])


async def test_after_the_end_nothing_is_under_way_any_more(at: Desk) -> None:
    at.queues.troubles.update(claim=[asyncio.Event()], put=[asyncio.Event()])
    at.desk.join(QUEUE, taker := Taker())
    at.send("1")
    await until(lambda: at.queues.calls == ["claim", "put"] or at.queues.calls == ["put", "claim"])
    at.desk.leave(QUEUE, taker)  # its claim goes on without it
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await at.desk.close()
    await idle()
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not [name for name in names if name.startswith(("serve ", "queues "))]


# Subscriptions


def subscribe(number: int, ack: str = "client-individual", **headers: str) -> Frame:
    return Frame("SUBSCRIBE", {"destination": f"/queue/{number}", "id": f"{number}", "ack": ack, **headers})


async def test_an_ack_makes_room_for_the_other_queues_of_a_connection() -> None:
    scene = Scene(unacknowledged=2, prefetch=10)
    peer, link = scene.peer(subscribe(1), subscribe(2))
    for number in (1, 1, 2):
        come(peer, Frame("SEND", {"destination": f"/queue/{number}"}, b"x"))
        await idle()
    first, second = link.frames()
    assert (first.headers["subscription"], second.headers["subscription"]) == ("1", "1")
    come(peer, Frame("ACK", {"id": first.headers["ack"]}))
    await idle()
    assert [frame.headers["subscription"] for frame in link.frames()] == ["2"]
    await scene.queues.close()


async def test_a_hint_is_followed_by_every_server_but_the_one_that_gave_it() -> None:
    scene = Scene()
    _, link = scene.peer(subscribe(1))
    await idle()
    await scene.queues._queues.put([QueueMessage("1", "/queue/1", (), b"x", 0)], limit=1)
    scene.delivery.receive([QueueHint("/queue/1", "test")])
    await idle()
    assert link.frames() == []
    scene.delivery.receive([QueueHint("/queue/1", "")])
    await idle()
    assert len(link.frames()) == 1
    await scene.queues.close()


async def test_what_a_client_has_already_is_not_given_again_and_its_ack_counts() -> None:
    scene = Scene()
    peer, link = scene.peer(subscribe(1), Frame("SEND", {"destination": "/queue/1"}, b"x"))
    await idle()
    (message,) = link.frames()
    queues = scene.queues._queues
    # Another server had it for a while, since this one's lease had run out, and returned it.
    waiting = cast(MemoryQueues, queues)._queues["/queue/1"][message.headers["message-id"]]
    waiting.holder, waiting.deliveries = None, 2
    scene.queues.hint("/queue/1")
    await idle()
    assert link.frames() == []
    come(peer, Frame("ACK", {"id": message.headers["ack"]}))
    await idle()
    assert (peer.subscriptions.unacknowledged, cast(MemoryQueues, queues)._queues) == (0, {})
    await scene.queues.close()


@pytest.mark.parametrize("ack", ["client", "client-individual"])
@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("outcome", [stored(), Rejected(Cause.BAD_BODY)], ids=["stored", "rejected"])
async def test_what_a_transaction_acknowledges_goes_the_way_of_what_it_sends_whoever_leaves_meanwhile(
    outcome: Outcome, leaves: bool, ack: str
) -> None:
    scene = Scene()
    message_for_queue = Frame("SEND", {"destination": "/queue/1"}, b"x")
    peer, link = scene.peer(subscribe(1, ack), *[message_for_queue] * 3)
    await idle()
    acks = [message.headers["ack"] for message in link.frames()]
    named = {"transaction": "t"}
    chat = Frame("SEND", {"destination": "/pub/room/r/message", **named}, b'{"content":"x"}')
    come(peer, Frame("BEGIN", named), chat, Frame("ACK", {"id": acks[1], **named}), Frame("COMMIT", named))
    await idle()
    if leaves:
        peer.lost(Cause.PEER_LEFT)
        await idle()
    scene.intake.answer(outcome)
    await idle()
    waiting = list(cast(MemoryQueues, scene.queues._queues)._queues["/queue/1"].values())
    settled = 0 if isinstance(outcome, Rejected) else 2 if ack == "client" else 1
    assert len(waiting) == 3 - settled
    assert all((one.holder is None) == (leaves or isinstance(outcome, Rejected)) for one in waiting)
    await scene.queues.close()


@pytest.mark.parametrize("ack", ["auto", "client-individual"])
async def test_a_consumer_that_does_not_read_is_given_little_and_the_rest_when_it_does(ack: str) -> None:
    scene = Scene(prefetch=10)
    peer, link = scene.peer(subscribe(1, ack))
    await idle()
    relief = asyncio.get_running_loop().create_future()

    def drained() -> Awaitable[None] | None:
        return None if relief.done() else relief

    link.drained = drained  # type: ignore[method-assign]
    for _ in range(8):
        come(peer, Frame("SEND", {"destination": "/queue/1"}, b"x" * 10_000))
        await idle()
    assert len(link.frames()) == 2, "as much as is given between looks"
    relief.set_result(None)
    await idle()
    assert len(link.frames()) == 6
    await scene.queues.close()
