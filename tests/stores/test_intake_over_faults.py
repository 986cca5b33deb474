"""Senders are told the truth by the intake, whatever statement fails below it; what is sent again is stored once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from stompgate.chat.intake import Intake, IntakeLimits
from stompgate.model.causes import Cause
from stompgate.model.messages import ChatMessage, Draft
from stompgate.ports.store import Outcome, Rejected, Stored
from stompgate.stores.sqlite import SqliteSettings, SqliteStore
from tests.fakes import FakeClock
from tests.ports.drafts import draft, make_room

from .faults import FAULTS, At, Disk, Fault, Hold
from .operations import assert_no_gaps
from .rivals import DEADLINE_S, ask, wait_until

LIMITS = IntakeLimits(group_rows=3, retry_s=0.001, unknown_for_s=10)
ROOMS = ("room-a", "room-b")


@dataclass
class Desk:
    """An intake over a store whose disk fails; what its senders were told, by client id."""

    store: SqliteStore
    disk: Disk
    path: Path
    clock: FakeClock
    intake: Intake
    told: dict[str, Outcome]
    passed_on: list[ChatMessage]

    def submit(self, client_id: str, room: str = ROOMS[0]) -> None:
        self.send(draft(room, f"content of {client_id}", client_id=client_id))

    def send(self, sent: Draft) -> None:
        def answered(outcome: Outcome) -> None:
            assert sent.client_id not in self.told, "answered twice"
            assert sent.client_id is not None
            self.told[sent.client_id] = outcome
            if isinstance(outcome, Stored):
                assert sent.client_id in self.stored_client_ids(), "told before it was"

        self.intake.submit(sent, answered)

    async def answers(self, number: int) -> None:
        await wait_until(lambda: len(self.told) == number)

    def stored_client_ids(self) -> list[object]:
        return [row[0] for row in ask(self.path, "SELECT client_id FROM sg_message ORDER BY number")]

    def check_told(self) -> None:
        """What was told is in the file."""
        stored = self.stored_client_ids()
        assert len(stored) == len(set(stored))
        for client_id, outcome in self.told.items():
            if isinstance(outcome, Stored):
                assert client_id in stored
                assert outcome.message in self.passed_on
            elif outcome.cause is not Cause.OUTCOME_UNKNOWN:
                assert client_id not in stored
        assert_no_gaps(self.path)


@asynccontextmanager
async def open_desk(path: Path, deadline_s: float = DEADLINE_S) -> AsyncIterator[Desk]:
    disk, clock = Disk(), FakeClock()
    store = SqliteStore(path, server_id="server-1", settings=SqliteSettings(deadline_s=deadline_s), connect=disk.connect)
    await store.open()
    passed_on: list[ChatMessage] = []
    desk = Desk(store, disk, path, clock, Intake(store, clock, passed_on.append, LIMITS), {}, passed_on)
    try:
        for room in ROOMS:
            await make_room(store, room)
        yield desk
        async with asyncio.timeout(DEADLINE_S):
            await desk.intake.close()
    finally:
        await store.close()


async def send_all(desk: Desk) -> None:
    """Seven messages, in three groups."""
    for number, room in zip(range(7), [*ROOMS] * 4, strict=False):
        desk.submit(f"c{number}", room)
    await desk.answers(7)


async def send_again(desk: Desk) -> None:
    """What was not told to be stored is sent again under its client id: all of it is there, once."""
    lost = [client_id for client_id, outcome in desk.told.items() if isinstance(outcome, Rejected)]
    for client_id in lost:
        del desk.told[client_id]
        desk.submit(client_id, ROOMS[int(client_id[1:]) % 2])
    await desk.answers(7)
    assert all(isinstance(outcome, Stored) for outcome in desk.told.values())
    desk.check_told()
    assert sorted(map(str, desk.stored_client_ids())) == [f"c{number}" for number in range(7)]


PASSING = [fault for fault in FAULTS if not fault.lasts and fault.rollback is not At.BEFORE]


@pytest.mark.parametrize("fault", PASSING, ids=str)
async def test_after_one_fault_anywhere_every_answer_is_true(tmp_path: Path, fault: Fault) -> None:
    refused = stored = 0
    for chosen in count(1):
        path = tmp_path / f"chat-{chosen}.db"
        async with open_desk(path) as desk:
            desk.disk.arm(chosen, fault)
            await send_all(desk)
            if len(desk.disk.statements) < chosen:
                break
            desk.check_told()
            # One fault leaves nobody in doubt: the group is asked for again and takes what it finds.
            refused += sum(isinstance(outcome, Rejected) for outcome in desk.told.values())
            stored += sum(isinstance(outcome, Stored) for outcome in desk.told.values())
            assert Cause.OUTCOME_UNKNOWN not in {one.cause for one in desk.told.values() if isinstance(one, Rejected)}
            desk.disk.heal()
            await send_again(desk)
    assert refused
    assert stored


@pytest.mark.parametrize("at", [At.BEFORE, At.AFTER], ids=lambda at: at.value)
async def test_on_a_disk_that_stays_bad_one_group_is_in_doubt_at_most(tmp_path: Path, at: At) -> None:
    doubts = 0
    for chosen in count(1):
        path = tmp_path / f"chat-{chosen}.db"
        async with open_desk(path) as desk:
            desk.disk.arm(chosen, Fault(at, At.BEFORE, lasts=True))
            sending = asyncio.create_task(send_all(desk))
            while not sending.done():
                desk.clock.advance(1)
                await asyncio.sleep(0.001)
            await sending
            if len(desk.disk.statements) < chosen:
                break
            causes = [outcome.cause for outcome in desk.told.values() if isinstance(outcome, Rejected)]
            unknown = causes.count(Cause.OUTCOME_UNKNOWN)
            assert unknown <= LIMITS.group_rows
            assert set(causes) <= {Cause.OUTCOME_UNKNOWN, Cause.STORE_UNAVAILABLE}
            doubts += unknown
            desk.disk.heal()
            await desk.store.ping()
            desk.check_told()
            await send_again(desk)
    assert doubts


async def test_a_write_that_hangs_keeps_its_group_waiting_and_is_found_when_it_ends(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "chat.db", deadline_s=0.2) as desk:
        hold = Hold()
        desk.disk.arm(4, hold)
        sending = asyncio.create_task(send_all(desk))
        assert await asyncio.to_thread(hold.reached.wait, DEADLINE_S)
        await asyncio.sleep(0.5)  # some of the deadlines of the store
        assert desk.told == {}
        hold.release.set()
        await sending
        assert all(isinstance(outcome, Stored) for outcome in desk.told.values())
        desk.check_told()
        assert desk.stored_client_ids() == [f"c{number}" for number in range(7)]


async def test_a_write_that_hangs_for_too_long_is_in_doubt_and_what_waited_is_refused(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "chat.db", deadline_s=0.2) as desk:
        hold = Hold()
        desk.disk.arm(4, hold)
        sending = asyncio.create_task(send_all(desk))
        assert await asyncio.to_thread(hold.reached.wait, DEADLINE_S)
        while not sending.done():
            desk.clock.advance(1)
            await asyncio.sleep(0.01)
        await sending
        causes = [outcome.cause for outcome in desk.told.values() if isinstance(outcome, Rejected)]
        assert causes == [Cause.OUTCOME_UNKNOWN] * 3 + [Cause.STORE_UNAVAILABLE] * 4
        hold.release.set()
        await wait_until(lambda: desk.stored_client_ids() != [])
        desk.check_told()
        assert desk.stored_client_ids() == ["c0", "c1", "c2"]
        await send_again(desk)


async def test_senders_that_the_disk_fails_name_its_reason(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "chat.db") as desk:
        desk.disk.arm(1, Fault(At.BEFORE, error=sqlite3.OperationalError))
        desk.submit("c0")
        await desk.answers(1)
        outcome = desk.told["c0"]
        assert isinstance(outcome, Rejected)
        assert "failed before BEGIN" in outcome.detail
