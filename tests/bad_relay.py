"""A relay that does what it is told: honest by itself, and at a test's word slow, forgetful, repetitive or out of order.

Records are published into a hub; each server has an inbox there. Nothing moves in a bad hub unless a test moves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from stompgate.model.records import BrokerRecord, ChatRecord, QueueHint, Record
from stompgate.ports.part import PartDown
from stompgate.ports.relay import Acknowledge, Answer, Departed, RelayListener


@dataclass(slots=True, eq=False)
class Publication:
    """A record on its way into the relay. ``acknowledge`` is None once it was called, or if nobody asked."""

    relay: BadRelay
    record: Record
    acknowledge: Acknowledge | None

    @property
    def key(self) -> tuple[BadRelay, str]:
        """What keeps its order: one server's records of one room or destination."""
        match self.record:
            case ChatRecord(message):
                return self.relay, message.room
            case BrokerRecord():
                return self.relay, self.record.destination
            case QueueHint(queue, _):
                return self.relay, queue
            case record:
                return self.relay, record.room

    def answer(self, answer: Answer) -> None:
        acknowledge, self.acknowledge = self.acknowledge, None
        if acknowledge is not None and not self.relay.is_dead:
            with self.relay.entered():
                acknowledge(answer)


class BadRelayHub:
    """What the relays of a group have in common: what was published and is not taken yet, and everything that was."""

    def __init__(self, *, is_honest: bool = True) -> None:
        self.is_honest = is_honest
        self.relays: list[BadRelay] = []
        self.published: list[Publication] = []
        self.log: list[Record] = []
        self._is_due = False

    def offer(self, publication: Publication) -> None:
        self.published.append(publication)
        if self.is_honest and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def take(self, publication: Publication) -> None:
        """Let a record into the relay: from now on every server that listens will get it."""
        self.published.remove(publication)
        self.log.append(publication.record)
        for relay in self.relays:
            if not relay.is_deaf:
                relay.inbox.append(publication.record)

    def flush(self) -> None:
        """Take, deliver and acknowledge everything, in order."""
        self._is_due = False
        publications = list(self.published)
        for publication in publications:
            self.take(publication)
        for relay in tuple(self.relays):
            relay.deliver(len(relay.inbox))
        for publication in publications:
            publication.answer(Answer.TAKEN)

    def forget(self, relay: BadRelay) -> None:
        """A server died: nobody waits for its answers; what it has published may still be taken."""
        if relay in self.relays:
            self.relays.remove(relay)
        relay.is_dead = True
        relay.inbox.clear()


class BadRelay:
    """``ports.relay.Relay`` of one server. ``entered`` is the context in which its listener is called."""

    def __init__(self, hub: BadRelayHub, entered: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        self.hub = hub
        self.entered = entered
        self.inbox: list[Record] = []
        self.is_open = False
        self.is_dead = False
        self.is_down = False  # known to be
        self.is_paused = False  # delivers nothing, and nobody knows
        self.is_deaf = False  # what comes meanwhile is lost
        self.is_refusing = False  # takes nothing, and says so
        self.listener: RelayListener

    def listen(self, listener: RelayListener) -> None:
        self.listener = listener

    def listen_for_departures(self, departed: Departed) -> None:
        pass

    async def open(self) -> None:
        self.hub.relays.append(self)
        self.is_open = True
        asyncio.get_running_loop().call_soon(self.listener.relay_reset)

    async def close(self) -> None:
        if self.hub.is_honest:
            self.hub.flush()
        self.is_open = False
        self.hub.relays.remove(self)

    async def ping(self) -> None:
        if not self.is_up:
            raise PartDown("the relay is down")

    @property
    def is_up(self) -> bool:
        return self.is_open and not self.is_down

    def publish(self, record: Record, acknowledge: Acknowledge | None = None) -> None:
        if self.is_up and not self.is_refusing:
            self.hub.offer(Publication(self, record, acknowledge))
        elif acknowledge is not None:
            asyncio.get_running_loop().call_soon(acknowledge, Answer.UNKNOWN)

    def deliver(self, count: int) -> None:
        """Hand over the next ``count`` records at once."""
        records, self.inbox[:count] = self.inbox[:count], []
        self.hand_over(records)

    def hand_over(self, records: Sequence[Record]) -> None:
        """Hand over records that are in the inbox no more, or never were."""
        if records and not self.is_dead:
            with self.entered():
                self.listener.receive(records)

    def reset(self) -> None:
        """Say that records may have been missed."""
        if not self.is_dead:
            with self.entered():
                self.listener.relay_reset()
