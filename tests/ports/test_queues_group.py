"""Queues that several servers share: a message is in the hands of one of them, and comes back when its lease ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import cast

import pytest

from stompgate.model.queues import Claim
from stompgate.ports.queues import QueueFull, Queues
from stompgate.ports.store import LEASE_S, Store
from tests.services import Services

from .conftest import MysqlGroup, StoreGroup
from .test_queues import message, messages

QUEUE = "/queue/a"
_numbers = count(1)


class Server:
    """One server: its store, and the owner of its lease."""

    def __init__(self, store: Store, server_id: str) -> None:
        self.store = store
        self.queues = cast(Queues, store)
        self.server_id = server_id
        self.owner = f"owner of {server_id}"

    async def claim(self, limit: int = 100, queue: str = QUEUE) -> Sequence[Claim]:
        return await self.queues.claim(queue, limit, owner=self.owner, attempt=f"attempt {next(_numbers)}")

    async def consume(self, claims: Sequence[Claim]) -> None:
        await self.queues.settle(self.owner, consumed=claims, returned=[])


@pytest.fixture
async def group(services: Services) -> AsyncIterator[StoreGroup]:
    group = MysqlGroup(services)
    yield group
    await group.close()


async def serve(group: StoreGroup, server_id: str) -> Server:
    server = Server(await group.open(server_id), server_id)
    await server.store.take_lease(server.owner)
    return server


@pytest.fixture
async def one(group: StoreGroup) -> Server:
    return await serve(group, "server-1")


@pytest.fixture
async def two(group: StoreGroup) -> Server:
    return await serve(group, "server-2")


def numbers(claims: Sequence[Claim]) -> list[int]:
    return [int(claim.message.id.rpartition("-")[2]) for claim in claims]


async def test_what_one_server_has_claimed_no_other_is_given(one: Server, two: Server) -> None:
    await one.queues.put(messages(5), limit=100)
    assert numbers(await two.claim(2)) == [0, 1]
    assert numbers(await one.claim()) == [2, 3, 4]
    assert list(await two.claim()) == list(await one.claim()) == []


async def test_what_one_server_returns_another_is_given(one: Server, two: Server) -> None:
    await one.queues.put(messages(2), limit=100)
    claims = await one.claim()
    await one.queues.settle(one.owner, consumed=[], returned=claims)
    assert [(claim.message, claim.deliveries) for claim in await two.claim()] == [(message(0), 2), (message(1), 2)]


async def test_servers_that_claim_at_once_share_the_messages_and_none_is_given_twice(one: Server, two: Server) -> None:
    await one.queues.put(messages(400), limit=1000)
    found: list[Claim] = []

    async def take_all(server: Server) -> None:
        while claims := await server.claim(7):
            found.extend(claims)
            await server.consume(claims)

    await asyncio.gather(*(take_all(server) for server in (one, two, one, two)))
    found += [*await one.claim(), *await two.claim()]  # what the last looks passed over, since another looked too
    assert Counter(numbers(found)) == Counter(range(400))
    assert {claim.deliveries for claim in found} == {1}


async def test_claims_of_a_server_whose_lease_ended_come_back_and_it_can_settle_nothing(
    group: StoreGroup, one: Server, two: Server
) -> None:
    await one.queues.put(messages(4), limit=100)
    lost = await one.claim(3)
    assert numbers(await two.claim()) == [3]
    await group.pass_time(LEASE_S + 1)
    await two.store.take_lease(two.owner)
    again = await two.claim()
    assert numbers(again) == [0, 1, 2], "its own claim is in force again with its lease"
    assert [claim.is_redelivered for claim in again] == [True] * 3
    await one.queues.settle(one.owner, consumed=lost[:2], returned=lost[2:])
    assert list(await one.claim()) == list(await two.claim()) == []
    await two.queues.settle(two.owner, consumed=[], returned=again)
    assert numbers(await two.claim()) == [0, 1, 2], "nothing was taken away by the old owner"


async def test_a_server_that_lets_its_lease_go_leaves_its_claims_to_others_at_once(one: Server, two: Server) -> None:
    await one.queues.put(messages(2), limit=100)
    await one.claim()
    assert list(await two.claim()) == []
    assert list(await two.queues.claimable([QUEUE], owner=two.owner)) == []
    await one.store.release_lease(one.owner)
    assert list(await two.queues.claimable([QUEUE], owner=two.owner)) == [QUEUE]
    assert numbers(await two.claim()) == [0, 1]


async def test_a_server_that_comes_back_does_not_hold_what_it_held_in_its_former_life(
    group: StoreGroup, one: Server, two: Server
) -> None:
    await one.queues.put(messages(2), limit=100)
    await one.claim()
    await group.pass_time(LEASE_S + 1)
    one.owner = "another life"
    await one.store.take_lease(one.owner)
    assert numbers(await one.claim()) == [0, 1]


async def test_a_lease_that_ends_too_far_ahead_holds_nothing(group: StoreGroup, one: Server, two: Server) -> None:
    await one.queues.put(messages(1), limit=100)
    await one.claim()
    await group.expires_in(one.server_id, LEASE_S + 60)
    assert numbers(await two.claim()) == [0]


async def test_a_lease_that_is_renewed_in_time_holds_on(group: StoreGroup, one: Server, two: Server) -> None:
    await one.queues.put(messages(1), limit=100)
    (held,) = await one.claim()
    for _ in range(3):
        await group.pass_time(LEASE_S - 5)
        await one.store.take_lease(one.owner)
        assert list(await two.claim()) == []
    await one.consume([held])
    await group.pass_time(LEASE_S + 1)
    assert list(await two.claim()) == []


async def test_servers_that_put_at_once_keep_each_its_order_and_the_bound_but_for_a_call(one: Server, two: Server) -> None:
    limit, at_once = 100, 10

    async def put(server: Server, first: int) -> None:
        for start in range(first, first + 200, at_once):
            try:
                await server.queues.put([message(number) for number in range(start, start + at_once)], limit=limit)
            except QueueFull:
                return

    await asyncio.gather(put(one, 0), put(two, 1000))
    found = numbers(await one.claim(1000))
    assert limit <= len(found) <= limit + at_once
    for mine in ([number for number in found if number < 1000], [number for number in found if number >= 1000]):
        assert mine == sorted(mine)
