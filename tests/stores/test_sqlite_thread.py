"""The thread that owns a connection: who is told what when it is late, and what it must outlive."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from stompgate.ports.part import SetupError
from stompgate.ports.store import OutcomeUnknown
from stompgate.stores.sqlite_thread import SqliteThread

from .rivals import DEADLINE_S


def connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


def new_thread(name: str) -> SqliteThread:
    return SqliteThread(name, max_jobs=10, late=OutcomeUnknown)


def living(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


async def test_a_jobs_error_is_its_callers_and_the_thread_works_on() -> None:
    thread = new_thread("a-jobs-error")
    await thread.start(connect, sqlite3.Connection.close, deadline_s=DEADLINE_S)
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda connection: 1 / 0, deadline_s=DEADLINE_S)
    assert await thread.run(lambda connection: 42, deadline_s=DEADLINE_S) == 42
    await thread.stop(deadline_s=DEADLINE_S)


async def test_jobs_are_done_in_the_order_they_were_handed_over() -> None:
    thread, done = new_thread("in-order"), list[int]()
    await thread.start(connect, sqlite3.Connection.close, deadline_s=DEADLINE_S)
    await asyncio.gather(*(thread.run(lambda _, n=n: done.append(n), deadline_s=DEADLINE_S) for n in range(10)))  # type: ignore[misc]
    await thread.stop(deadline_s=DEADLINE_S)
    assert done == list(range(10))


async def test_a_database_that_does_not_open_in_time_is_given_up_and_closed_when_it_does() -> None:
    disk_is_back, closed = threading.Event(), threading.Event()

    def connect_late() -> sqlite3.Connection:
        disk_is_back.wait(DEADLINE_S)
        return connect()

    def disconnect(connection: sqlite3.Connection) -> None:
        connection.close()
        closed.set()

    with pytest.raises(SetupError, match="did not open within"):
        await new_thread("late").start(connect_late, disconnect, deadline_s=0.01)
    disk_is_back.set()
    assert await asyncio.to_thread(closed.wait, DEADLINE_S)


async def test_what_connecting_raises_is_raised_and_the_thread_ends() -> None:
    def refuse() -> sqlite3.Connection:
        raise SetupError("not today")

    with pytest.raises(SetupError, match="not today"):
        await new_thread("refused").start(refuse, sqlite3.Connection.close, deadline_s=DEADLINE_S)
    for thread in living("refused"):
        thread.join(DEADLINE_S)
    assert not living("refused")


def test_an_answer_that_comes_after_the_loop_has_ended_is_dropped() -> None:
    begun, disk_is_back = threading.Event(), threading.Event()

    def hang(connection: sqlite3.Connection) -> None:
        begun.set()
        disk_is_back.wait(DEADLINE_S)

    async def scenario() -> None:
        thread = new_thread("after-the-loop")
        await thread.start(connect, sqlite3.Connection.close, deadline_s=DEADLINE_S)
        hanging = asyncio.create_task(thread.run(hang, deadline_s=DEADLINE_S))
        assert await asyncio.to_thread(begun.wait, DEADLINE_S)
        await thread.stop(deadline_s=0)
        with pytest.raises(OutcomeUnknown):
            await hanging

    asyncio.run(scenario())
    (thread,) = living("after-the-loop")
    disk_is_back.set()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
