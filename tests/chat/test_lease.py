"""A server acts for its id only while nobody else can, waits for one that goes, and gives way to one that came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pytest

from stompgate.chat.lease import LOOK_EVERY_S, MARGIN_S, RENEW_EVERY_S, LeaseKeeper
from stompgate.ports.part import SetupError
from stompgate.ports.store import LEASE_S, Lease, OutcomeUnknown, StoreUnavailable
from tests.fakes import FakeClock
from tests.memory_store import MemoryRows, MemoryStore

from .audience import settle

T = TypeVar("T")


class Door:
    """The way of one server to the database: it can be shut, lose its answers, or be slow."""

    def __init__(self) -> None:
        self.is_shut = False
        self.loses_answers = False
        self.opens: asyncio.Event | None = None
        self.calls = 0

    async def run(self, name: str, work: Callable[[], T], *, writes: bool) -> T:
        self.calls += 1
        if self.is_shut:
            raise StoreUnavailable("shut")
        answer = work()
        if self.opens is not None:
            await self.opens.wait()
        if self.loses_answers:
            raise OutcomeUnknown("lost")
        return answer


class Group:
    """Servers over one store."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rows = MemoryRows(clock=self.clock)
        self.door = Door()
        self.lost: list[str] = []
        self.keepers: list[LeaseKeeper] = []

    def keeper(self, owner: str) -> LeaseKeeper:
        """One process of server s1; ``mine`` has the door."""
        pace = self.door if owner == "mine" else Door()
        store = MemoryStore(self.rows, server_id="s1", pace=pace)
        self.keepers.append(LeaseKeeper(store, self.clock, "s1", owner, self.lost.append))
        return self.keepers[-1]

    async def advance(self, seconds: float) -> None:
        """Let time pass in steps that nobody sleeps through."""
        until_s = self.clock.monotonic() + seconds
        await settle()
        while self.clock.advance_to_next(until_s):
            await settle()
        self.clock.advance(until_s - self.clock.monotonic())
        await settle()

    @property
    def holder(self) -> str:
        return self.rows.leases["s1"].owner if "s1" in self.rows.leases else ""


@pytest.fixture
async def group() -> AsyncIterator[Group]:
    group = Group()
    yield group
    for keeper in group.keepers:
        await keeper.close()


async def begun(group: Group, owner: str = "mine") -> LeaseKeeper:
    keeper = group.keeper(owner)
    await keeper.take()
    keeper.start()
    return keeper


async def test_a_lease_that_is_free_is_taken_at_once_and_kept(group: Group) -> None:
    keeper = group.keeper("mine")
    assert not keeper.is_held
    await keeper.take()
    keeper.start()
    for _ in range(100):
        await group.advance(1)
        assert keeper.is_held
        assert group.rows.has_lease("s1")
    assert group.door.calls == 1 + 100 / RENEW_EVERY_S
    assert group.lost == []


async def test_a_lease_is_let_go_at_the_end(group: Group) -> None:
    keeper = await begun(group)
    await keeper.close()
    assert not keeper.is_held
    assert group.holder == ""
    await begun(group, "next")


async def test_an_end_without_the_store_leaves_the_lease_to_its_expiry(group: Group) -> None:
    keeper = await begun(group)
    group.door.is_shut = True
    await keeper.close()
    assert not keeper.is_held
    assert group.holder == "mine"


async def test_the_lease_of_a_dead_process_is_waited_for(group: Group) -> None:
    await group.keeper("dead").take()
    taking = asyncio.create_task(group.keeper("mine").take())
    await group.advance(LEASE_S - LOOK_EVERY_S)
    assert not taking.done()
    await group.advance(LOOK_EVERY_S)
    await taking
    assert group.holder == "mine"


async def test_a_process_that_is_about_to_go_is_waited_for(group: Group) -> None:
    going = await begun(group, "going")
    taking = asyncio.create_task(group.keeper("mine").take())
    await group.advance(RENEW_EVERY_S + 1)
    await going.close()
    await group.advance(LOOK_EVERY_S)
    await taking
    assert group.holder == "mine"


async def test_a_living_process_of_that_name_keeps_another_from_starting(group: Group) -> None:
    living = await begun(group, "living")
    taking = asyncio.create_task(group.keeper("mine").take())
    await group.advance(LEASE_S - LOOK_EVERY_S)
    assert not taking.done()
    await group.advance(LOOK_EVERY_S)
    with pytest.raises(SetupError, match=r"another process runs as server s1 .* server_id of its own"):
        await taking
    assert living.is_held
    assert group.holder == "living"


async def test_a_lease_that_nobody_renews_is_waited_for_though_the_database_s_clock_was_set_back(group: Group) -> None:
    await group.keeper("dead").take()
    taking = asyncio.create_task(group.keeper("mine").take())
    await group.advance(LEASE_S - 2)
    group.clock.set_utc_us(group.clock.utc_us() - 10_000_000)
    await group.advance(LEASE_S - LOOK_EVERY_S)
    await taking
    assert group.holder == "mine"


async def test_a_store_that_does_not_answer_is_asked_again_and_not_for_ever(group: Group) -> None:
    group.door.is_shut = True
    taking = asyncio.create_task(group.keeper("mine").take())
    await group.advance(LEASE_S)
    group.door.is_shut = False
    await group.advance(LOOK_EVERY_S)
    await taking
    group.door.is_shut = True
    again = asyncio.create_task(group.keeper("mine").take())
    await group.advance(2 * LEASE_S)
    with pytest.raises(SetupError, match="did not answer"):
        await again


async def test_a_server_without_its_store_stops_acting_before_its_lease_expires_and_goes_on_after(group: Group) -> None:
    keeper = await begun(group)
    group.door.is_shut = True
    await group.advance(LEASE_S - MARGIN_S - 0.1)
    assert keeper.is_held
    await group.advance(0.1)
    assert not keeper.is_held
    assert group.rows.has_lease("s1")
    group.door.is_shut = False
    await group.advance(LOOK_EVERY_S)
    assert keeper.is_held
    assert group.lost == []


async def test_a_renewal_without_an_answer_does_not_count(group: Group) -> None:
    keeper = await begun(group)
    group.door.loses_answers = True
    await group.advance(LEASE_S)
    assert not keeper.is_held


async def test_a_renewal_counts_from_when_it_was_asked_for(group: Group) -> None:
    keeper = await begun(group)
    group.door.opens = asyncio.Event()
    await group.advance(RENEW_EVERY_S)
    await group.advance(LEASE_S - RENEW_EVERY_S)
    assert not keeper.is_held
    group.door.opens.set()
    await settle()
    assert keeper.is_held
    await group.advance(0)
    group.door.is_shut = True
    await group.advance(RENEW_EVERY_S - MARGIN_S)
    assert not keeper.is_held


async def test_who_finds_the_lease_taken_says_so_once_and_leaves_it_alone(group: Group) -> None:
    keeper = await begun(group)
    group.rows.leases["s1"] = Lease("other", group.clock.utc_us() + 10_000_000)
    await group.advance(RENEW_EVERY_S)
    assert not keeper.is_held
    assert len(group.lost) == 1
    assert "server s1" in group.lost[0]
    calls = group.door.calls
    await group.advance(5 * LEASE_S)
    assert (len(group.lost), group.door.calls) == (1, calls)
    await keeper.close()
    assert group.holder == "other"


async def test_a_keeper_that_starts_without_the_lease_takes_it_as_soon_as_it_can(group: Group) -> None:
    keeper = group.keeper("mine")
    keeper.start()
    await group.advance(0)
    assert keeper.is_held
