"""The way into queues: messages of all connections are put in groups, one group at a time, in the order they were sent.

Nothing is called refused that may have been put: after a try whose outcome is not known, no answer says so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stompgate.model.causes import Cause, Refusal
from stompgate.model.queues import QueueMessage
from stompgate.ports.clock import Clock
from stompgate.ports.queues import MessageTooLarge, QueueFull, Queues
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

Done = Callable[[Refusal | None], None]

_OF_ONE_ALONE = (Cause.QUEUE_FULL, Cause.BODY_TOO_LONG)
"""Refusals that may be meant for a part of a group only."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """``messages``: of one queue. ``put_messages``, ``claim_messages``, ``settle_messages``: in one call of the store.
    ``waiting_messages``: for their turn to be put. ``look_every_s``: at queues with consumers, for hints that were lost.
    ``retry_s``: between tries of what the store has not done. ``unknown_for_s``: for putting what may have been put.
    """

    messages: int = 10_000
    put_messages: int = 256
    claim_messages: int = 256
    settle_messages: int = 1024
    waiting_messages: int = 10_000
    look_every_s: float = 2.0
    retry_s: float = 1.0
    unknown_for_s: float = 10.0


@dataclass(frozen=True, slots=True)
class _Parcel:
    messages: Sequence[QueueMessage]
    done: Done


class QueueIntake:
    """Takes parcels of messages. ``arrived`` is told of each queue into which some were put."""

    def __init__(self, queues: Queues, clock: Clock, limits: QueueLimits, arrived: Callable[[str], None]) -> None:
        self._queues = queues
        self._clock = clock
        self._limits = limits
        self._arrived = arrived
        self._waiting: deque[_Parcel] = deque()
        self._putting: asyncio.Task[None] | None = None
        self._is_closed = False
        self.waiting_messages = 0
        self.put = 0

    async def close(self) -> None:
        """Put what was accepted, and take no more. When this is given up, so is what was not put by then."""
        self._is_closed = True
        putting = self._putting
        if putting is not None:
            try:
                await asyncio.wait([putting])
            finally:
                putting.cancel()

    def send(self, messages: Sequence[QueueMessage], done: Done) -> None:
        """Let messages wait in their queues, all of them or none. ``done`` is called once, later, with what was refused."""
        if self._is_closed or self.waiting_messages >= self._limits.waiting_messages:
            cause = Cause.SERVER_STOPPING if self._is_closed else Cause.OVERLOADED
            asyncio.get_running_loop().call_soon(done, Refusal(cause))
            return
        self._waiting.append(_Parcel(messages, done))
        self.waiting_messages += len(messages)
        if self._putting is None:
            self._putting = asyncio.create_task(self._put_all(), name="queues put")

    async def _put_all(self) -> None:
        try:
            while self._waiting:
                await self._put_group(self._next_group())
        finally:
            self._putting = None

    def _next_group(self) -> list[_Parcel]:
        group: list[_Parcel] = []
        number = 0
        while self._waiting:
            number += len(self._waiting[0].messages)
            if group and number > self._limits.put_messages:
                break
            group.append(self._waiting.popleft())
            self.waiting_messages -= len(group[-1].messages)
        return group

    async def _put_group(self, group: Sequence[_Parcel]) -> None:
        """Put a group; if that is refused for the sake of some, each parcel alone, so that only those are refused."""
        refusal = await self._put([message for parcel in group for message in parcel.messages])
        if refusal is not None and refusal.cause in _OF_ONE_ALONE and len(group) > 1:
            for parcel in group:
                await self._put_group([parcel])
            return
        for parcel in group:
            asyncio.get_running_loop().call_soon(parcel.done, refusal)
        if refusal is None:
            for queue in {message.queue for parcel in group for message in parcel.messages}:
                self._arrived(queue)

    async def _put(self, messages: Sequence[QueueMessage]) -> Refusal | None:
        give_up_at_s: float | None = None  # from when on the outcome is in doubt
        while True:
            try:
                await self._queues.put(messages, limit=self._limits.messages, again=give_up_at_s is not None)
            except (QueueFull, MessageTooLarge, StoreUnavailable) as error:
                if give_up_at_s is None:  # never attempted: this refusal is certain
                    return self._refusal(error)
            except OutcomeUnknown:
                if give_up_at_s is None:
                    give_up_at_s = self._clock.monotonic() + self._limits.unknown_for_s
            else:
                self.put += len(messages)
                return None
            if self._is_closed or self._clock.monotonic() >= give_up_at_s:
                return Refusal(Cause.OUTCOME_UNKNOWN)
            await asyncio.sleep(self._limits.retry_s)

    def _refusal(self, error: QueueFull | MessageTooLarge | StoreUnavailable) -> Refusal:
        match error:
            case QueueFull():
                return Refusal(Cause.QUEUE_FULL, f"{error} holds {self._limits.messages} messages already.")
            case MessageTooLarge():
                return Refusal(Cause.BODY_TOO_LONG, detail=str(error))
            case _:
                return Refusal(Cause.STORE_UNAVAILABLE, detail=str(error))
