"""One SQLite connection and the thread that owns it, behind asyncio.

A job is a whole transaction, so the event loop and the thread meet twice per transaction and not per statement. The thread must
never touch anything of the loop but by ``call_soon_threadsafe``, and nobody else may touch the connection.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from stompgate.ports.part import SetupError
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

T = TypeVar("T")


class _Job:
    """Work on its way to the thread. Whoever claims it first decides: the thread does it, or the loop withdraws it."""

    __slots__ = ("answer", "claim", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any], answer: asyncio.Future[Any]) -> None:
        self.work = work
        self.answer = answer
        self.claim = threading.Lock()

    def try_claim(self) -> bool:
        return self.claim.acquire(blocking=False)


class SqliteThread:
    """Runs jobs on one connection, one after the other, in the order they were handed over.

    ``late`` is what a caller is told whose deadline has passed while the thread was at work on the job.
    """

    def __init__(self, name: str, *, max_jobs: int, late: type[StoreUnavailable] | type[OutcomeUnknown]) -> None:
        self._name = name
        self._max_jobs = max_jobs
        self._late = late
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._ended: asyncio.Future[None]
        self._closing = True
        self._unanswered: set[_Job] = set()

    async def start(
        self,
        connect: Callable[[], sqlite3.Connection],
        disconnect: Callable[[sqlite3.Connection], None],
        *,
        deadline_s: float,
    ) -> None:
        """Start the thread and connect there. Raises what ``connect`` raises, and ``SetupError`` after ``deadline_s``."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        connected: asyncio.Future[None] = self._loop.create_future()
        # A daemon, since a thread that hangs in a dead disk must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, args=(connect, disconnect, connected), name=self._name, daemon=True)
        self._closing = False
        self._thread.start()
        try:
            async with asyncio.timeout(deadline_s):
                await connected
        except TimeoutError:
            raise SetupError(f"{self._name}: the database did not open within {deadline_s:g} s") from None
        finally:
            if not connected.done() or connected.cancelled() or connected.exception():
                self._closing = True
                self._jobs.put(None)

    async def run(self, work: Callable[[sqlite3.Connection], T], *, deadline_s: float) -> T:
        """Return what ``work`` returns, or raise what it raises.

        Raises ``StoreUnavailable`` if it was not begun within ``deadline_s`` (then it never will be), ``late`` if it was begun
        and has not ended by then (it still ends in its own time). Cancellation acts likewise.
        """
        if self._closing or self._jobs.qsize() >= self._max_jobs:
            raise StoreUnavailable("closed" if self._closing else f"{self._max_jobs} jobs are waiting already")
        job = _Job(work, self._loop.create_future())
        timer = self._loop.call_later(deadline_s, self._expire, job)
        self._unanswered.add(job)
        self._jobs.put(job)
        try:
            answer: T = await job.answer
        finally:
            timer.cancel()
            self._unanswered.discard(job)
            job.try_claim()
        return answer

    async def stop(self, *, deadline_s: float) -> None:
        """Take nothing more, end what was handed over, disconnect. After ``deadline_s`` what has not begun is withdrawn."""
        self._closing = True
        self._jobs.put(None)
        done, _ = await asyncio.wait((self._ended,), timeout=deadline_s)
        if not done:
            for job in tuple(self._unanswered):
                self._expire(job)

    def _expire(self, job: _Job) -> None:
        if job.answer.done():
            return
        if job.try_claim():
            job.answer.set_exception(StoreUnavailable("the database did not come to it in time"))
        else:
            job.answer.set_exception(self._late("the database has not answered in time"))

    # On the thread

    def _run(
        self,
        connect: Callable[[], sqlite3.Connection],
        disconnect: Callable[[sqlite3.Connection], None],
        connected: asyncio.Future[None],
    ) -> None:
        try:
            connection = connect()
        except Exception as error:
            self._answer(connected, None, error)
            return
        self._answer(connected, None, None)
        while (job := self._jobs.get()) is not None:
            if not job.try_claim():
                continue
            try:
                result = job.work(connection)
            except Exception as error:
                self._answer(job.answer, None, error)
            else:
                self._answer(job.answer, result, None)
        disconnect(connection)
        self._answer(self._ended, None, None)

    def _answer(self, future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, future, result, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
