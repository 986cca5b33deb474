"""What every place for the messages of queues promises."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from stompgate.model.queues import Claim, QueueMessage
from stompgate.ports.queues import QueueFull, Queues

OWNER = "owner-1"


def message(number: int, queue: str = "/queue/a") -> QueueMessage:
    return QueueMessage(f"id-{queue}-{number}", queue, (("a", "b:\n"), ("채", "팅")), b"\x00body %d" % number, 1_000 + number)


def messages(count: int, queue: str = "/queue/a") -> list[QueueMessage]:
    return [message(number, queue) for number in range(count)]


_numbers = count()


async def claim(queues: Queues, limit: int = 100, queue: str = "/queue/a") -> Sequence[Claim]:
    return await queues.claim(queue, limit, owner=OWNER, attempt=f"attempt-{next(_numbers)}")


async def test_messages_come_as_they_were_put_and_in_their_order(queues: Queues) -> None:
    await queues.put(messages(5), limit=100)
    claims = await claim(queues)
    assert [one.message for one in claims] == messages(5)
    assert [(one.deliveries, one.is_redelivered) for one in claims] == [(1, False)] * 5


async def test_no_message_is_claimed_twice(queues: Queues) -> None:
    await queues.put(messages(5), limit=100)
    assert [one.message for one in await claim(queues, 2)] == messages(5)[:2]
    assert [one.message for one in await claim(queues, 9)] == messages(5)[2:]
    assert list(await claim(queues)) == []


async def test_queues_do_not_see_each_other(queues: Queues) -> None:
    await queues.put([*messages(2, "/queue/a"), *messages(3, "/queue/A")], limit=100)
    assert [one.message for one in await claim(queues, queue="/queue/A")] == messages(3, "/queue/A")
    assert [one.message for one in await claim(queues, queue="/queue/a")] == messages(2, "/queue/a")
    assert list(await claim(queues, queue="/queue/a ")) == []


async def test_what_is_consumed_never_comes_again(queues: Queues) -> None:
    await queues.put(messages(3), limit=100)
    claims = await claim(queues)
    await queues.settle(OWNER, consumed=claims, returned=[])
    assert list(await claim(queues)) == []


async def test_what_is_returned_comes_again_at_its_old_place_and_says_so(queues: Queues) -> None:
    await queues.put(messages(3), limit=100)
    first, second = await claim(queues, 2)
    await queues.settle(OWNER, consumed=[first], returned=[second])
    again = await claim(queues)
    assert [one.message for one in again] == messages(3)[1:]
    assert [one.is_redelivered for one in again] == [True, False]


async def test_an_old_claim_settles_nothing(queues: Queues) -> None:
    await queues.put(messages(1), limit=100)
    (old,) = await claim(queues)
    await queues.settle(OWNER, consumed=[], returned=[old])
    (new,) = await claim(queues)
    await queues.settle(OWNER, consumed=[old], returned=[])
    await queues.settle("somebody else", consumed=[new], returned=[new])
    await queues.settle(OWNER, consumed=[], returned=[old])
    assert list(await claim(queues)) == [], "the new claim holds it"
    await queues.settle(OWNER, consumed=[], returned=[new])
    assert [one.deliveries for one in await claim(queues)] == [3]


async def test_the_same_attempt_again_returns_what_it_has_claimed(queues: Queues) -> None:
    await queues.put(messages(5), limit=100)
    first = await queues.claim("/queue/a", 3, owner=OWNER, attempt="lost")
    assert list(await queues.claim("/queue/a", 3, owner=OWNER, attempt="lost", again=True)) == list(first)
    assert [one.message for one in await claim(queues)] == messages(5)[3:]


async def test_an_attempt_that_came_to_nothing_claims_when_it_is_made_again(queues: Queues) -> None:
    await queues.put(messages(2), limit=100)
    claims = await queues.claim("/queue/a", 3, owner=OWNER, attempt="never came", again=True)
    assert [(one.message, one.deliveries) for one in claims] == [(one, 1) for one in messages(2)]


async def test_what_waits_already_is_not_put_again(queues: Queues) -> None:
    await queues.put(messages(2), limit=100)
    await queues.put(messages(3), limit=100)
    await queues.put([message(5), message(5)], limit=100)
    assert [one.message for one in await claim(queues)] == [*messages(3), message(5)]


async def test_a_full_queue_takes_nothing_of_the_call(queues: Queues) -> None:
    await queues.put(messages(3), limit=4)
    assert len(await claim(queues, 1)) == 1
    with pytest.raises(QueueFull, match="/queue/a"):
        await queues.put([message(1, "/queue/b"), message(3), message(4)], limit=4)
    assert list(await claim(queues, queue="/queue/b")) == []
    await queues.put([message(3)], limit=4)
    assert [one.message for one in await claim(queues)] == messages(4)[1:]


async def test_settling_nothing_and_putting_nothing_do_nothing(queues: Queues) -> None:
    await queues.put([], limit=1)
    await queues.settle(OWNER, consumed=[], returned=[])
    assert list(await claim(queues)) == []


async def test_what_may_have_been_put_and_consumed_before_comes_as_redelivered(queues: Queues) -> None:
    await queues.put(messages(1), limit=100)
    await queues.put(messages(2), limit=100, again=True)
    claims = await claim(queues)
    assert [(one.message, one.is_redelivered) for one in claims] == [(message(0), False), (message(1), True)]


@pytest.mark.parametrize("body", [b"", bytes(range(256)) * 300, b"'; DROP TABLE sg_queue_message; --\\"])
async def test_bodies_and_headers_are_kept_as_they_are(queues: Queues, body: bytes) -> None:
    odd = QueueMessage(
        "odd", "/queue/\U0001f600 %s", (("a\\'\"", "%s\x00\r\n:"), ("a\\'\"", ""), ("", "\ud800")), body, 1 << 60
    )
    await queues.put([odd], limit=100)
    assert [one.message for one in await claim(queues, queue=odd.queue)] == [odd]


async def test_more_messages_than_a_statement_takes_keep_their_order(queues: Queues) -> None:
    await queues.put(messages(700), limit=700)
    claims = await claim(queues, 650)
    assert [one.message for one in claims] == messages(650)
    await queues.settle(OWNER, consumed=claims[::2], returned=claims[1::2])
    assert [one.message for one in await claim(queues, 700)] == messages(650)[1::2] + messages(700)[650:]


async def test_messages_for_several_queues_are_put_together_or_not_at_all(queues: Queues) -> None:
    both = [*messages(2, "/queue/a"), *messages(2, "/queue/b")]
    await queues.put(messages(1, "/queue/b"), limit=2)
    await queues.put(both, limit=2)
    with pytest.raises(QueueFull):
        await queues.put([message(9, "/queue/c"), *both, message(9, "/queue/b")], limit=2)
    await queues.put(both, limit=1)
    found = [len(await claim(queues, queue=queue)) for queue in ("/queue/a", "/queue/b", "/queue/c")]
    assert found == [2, 2, 0]


async def test_a_look_tells_where_something_can_be_claimed(queues: Queues) -> None:
    names = [f"/queue/{number}" for number in range(300)]
    await queues.put([message(1, names[3]), message(1, names[299]), message(1, "/queue/other")], limit=10)
    assert sorted(await queues.claimable(names, owner=OWNER)) == [names[299], names[3]]
    await claim(queues, queue=names[3])
    assert list(await queues.claimable(names, owner=OWNER)) == [names[299]]
    assert list(await queues.claimable([], owner=OWNER)) == []
