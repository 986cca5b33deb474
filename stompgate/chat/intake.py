"""Intake: checked messages wait here together and are stored in groups; whoever sent one is told what became of it.

What waits while a group is being written is the next group. It must never say that a message is stored before it is, nor
that it was refused when it may be.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from time import perf_counter

import structlog

from stompgate.model.causes import Cause
from stompgate.model.messages import ChatMessage, Draft
from stompgate.ports.clock import Clock
from stompgate.ports.store import Outcome, OutcomeUnknown, Rejected, Store, Stored, StoreUnavailable
from stompgate.timing.histogram import FAST_S, ROWS, Histogram


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Of a group: ``group_rows`` and ``group_bytes`` of content. Waiting: ``waiting_rows``. Unknown outcomes: tried for
    ``unknown_for_s``, every ``retry_s``."""

    group_rows: int = 256
    group_bytes: int = 1024 * 1024
    waiting_rows: int = 10_000
    retry_s: float = 0.5
    unknown_for_s: float = 10.0


_log = structlog.get_logger(__name__)

_UNANSWERED = Rejected(Cause.OUTCOME_UNKNOWN, "the write was cut off")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What one call submitted: it is never divided over two groups."""

    drafts: Sequence[Draft]
    done: Callable[[Sequence[Outcome]], None]


class Intake:
    """The queue in front of the store. ``stored`` is called for every message, new or sent again, once it is stored.

    Counted since the start: messages ``accepted`` (new), ``repeated`` (stored before) and ``rejected``; of the groups that
    the store answered, ``group_rows`` and ``commit_s``. ``waiting_rows`` wait for the next group now.
    """

    def __init__(self, store: Store, clock: Clock, stored: Callable[[ChatMessage], None], limits: IntakeLimits) -> None:
        self._store = store
        self._clock = clock
        self._stored = stored
        self._limits = limits
        self._waiting: deque[_Waiting] = deque()
        self.waiting_rows = 0
        self._writer: asyncio.Task[None] | None = None
        self._failing_since_s: float | None = None
        self.accepted = 0
        self.repeated = 0
        self.rejected: Counter[Cause] = Counter()
        self.group_rows = Histogram(ROWS)
        self.commit_s = Histogram(FAST_S)

    def submit(self, draft: Draft, done: Callable[[Outcome], None]) -> None:
        """Take a message. ``done`` is called exactly once, later, on the event loop; messages keep their order."""
        self.submit_together((draft,), lambda outcomes: done(outcomes[0]))

    def submit_together(self, drafts: Sequence[Draft], done: Callable[[Sequence[Outcome]], None]) -> None:
        """Take the messages of one transaction. ``done`` is called as for one, with an outcome for each."""
        if self.waiting_rows >= self._limits.waiting_rows:
            self.rejected[Cause.OVERLOADED] += len(drafts)
            asyncio.get_running_loop().call_soon(done, [Rejected(Cause.OVERLOADED)] * len(drafts))
            return
        self._waiting.append(_Waiting(drafts, done))
        self.waiting_rows += len(drafts)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="intake writes")

    async def close(self) -> None:
        """Wait until everything taken is answered."""
        while self._writer is not None:
            await asyncio.wait({self._writer})

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._write_group(self._next_group())
        finally:
            self._writer = None

    async def _write_group(self, group: Sequence[_Waiting]) -> None:
        drafts = [draft for waiting in group for draft in waiting.drafts]
        outcomes: Sequence[Outcome] = [_UNANSWERED] * len(drafts)
        try:
            outcomes = await self._append(drafts)
        finally:  # each in a call of its own: no answer is lost to a mistake in another
            call_soon = asyncio.get_running_loop().call_soon
            answers = iter(outcomes)
            for waiting in group:
                call_soon(self._answer, waiting, list(islice(answers, len(waiting.drafts))))

    def _answer(self, waiting: _Waiting, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._count(outcome)
        try:
            waiting.done(outcomes)
        finally:
            for outcome in outcomes:
                if isinstance(outcome, Stored):
                    self._stored(outcome.message)

    def _count(self, outcome: Outcome) -> None:
        if isinstance(outcome, Rejected):
            self.rejected[outcome.cause] += 1
        elif outcome.repeated:
            self.repeated += 1
        else:
            self.accepted += 1

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        rows = size_bytes = 0
        while self._waiting:
            drafts = self._waiting[0].drafts
            rows += len(drafts)
            size_bytes += sum(len(draft.content) for draft in drafts) * 4  # UTF-8 at its longest
            if group and (rows > self._limits.group_rows or size_bytes > self._limits.group_bytes):
                break
            group.append(self._waiting.popleft())
            self.waiting_rows -= len(drafts)
        return group

    async def _append(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        """Store a group; after a lost answer ask again with the same group, which takes what it finds."""
        give_up_at: float | None = None
        while True:
            try:
                began_s = perf_counter()
                outcomes = await self._store.append(drafts)
                self.commit_s.observe(perf_counter() - began_s)
                self.group_rows.observe(len(drafts))
                self._note_success()
                return outcomes if give_up_at is None else [_after_unknown(outcome) for outcome in outcomes]
            except StoreUnavailable as error:
                self._note_failure(str(error))
                if give_up_at is None:  # never attempted: this refusal is certain
                    return [Rejected(Cause.STORE_UNAVAILABLE, str(error))] * len(drafts)
                reason = str(error)
            except OutcomeUnknown as error:
                self._note_failure(str(error))
                reason = str(error)
            now_s = self._clock.monotonic()
            give_up_at = now_s + self._limits.unknown_for_s if give_up_at is None else give_up_at
            if now_s >= give_up_at:
                return [Rejected(Cause.OUTCOME_UNKNOWN, reason)] * len(drafts)
            await asyncio.sleep(self._limits.retry_s)

    def _note_failure(self, reason: str) -> None:
        if self._failing_since_s is None:
            self._failing_since_s = self._clock.monotonic()
            _log.warning("messages cannot be stored", reason=reason)

    def _note_success(self) -> None:
        if self._failing_since_s is not None:
            failed_s = round(self._clock.monotonic() - self._failing_since_s, 1)
            self._failing_since_s = None
            _log.info("messages are stored again", failed_s=failed_s)


def _after_unknown(outcome: Outcome) -> Outcome:
    """The outcome of a second attempt: one that finds the room deleted cannot tell whether the first was in time."""
    if isinstance(outcome, Rejected) and outcome.cause is Cause.NO_SUCH_ROOM:
        return Rejected(Cause.OUTCOME_UNKNOWN, outcome.detail)
    return outcome
