"""The relay of servers that share one process: a list, emptied once per tick of the event loop.

It must never call a listener from within ``publish``: whoever publishes is in the middle of something.
"""

from __future__ import annotations

import asyncio

from stompgate.model.records import Record
from stompgate.ports.part import PartDown, SetupError
from stompgate.ports.relay import Acknowledge, Answer, Departed, RelayListener

MAX_RECORDS = 65_536
"""Records that may wait for the end of a tick; beyond it they are refused."""


class LocalHub:
    """What the relays of one process have in common. Used on one event loop."""

    __slots__ = ("_acknowledgements", "_max_records", "_records", "_relays")

    def __init__(self, *, max_records: int = MAX_RECORDS) -> None:
        self._max_records = max_records
        self._relays: list[LocalRelay] = []
        self._records: list[Record] = []
        self._acknowledgements: list[Acknowledge] = []

    def join(self, relay: LocalRelay) -> None:
        self._relays.append(relay)

    def leave(self, relay: LocalRelay) -> None:
        """Hand over what is waiting, then forget the relay."""
        self.flush()
        self._relays.remove(relay)

    def offer(self, record: Record, acknowledge: Acknowledge | None) -> bool:
        """Take a record for the end of this tick. False if too many are waiting."""
        records = self._records
        if not records:
            asyncio.get_running_loop().call_soon(self.flush)
        elif len(records) >= self._max_records:
            return False
        records.append(record)
        if acknowledge is not None:
            self._acknowledgements.append(acknowledge)
        return True

    def flush(self) -> None:
        """Give what is waiting to every relay, then acknowledge it. What is published meanwhile waits for the next tick."""
        if not self._records:
            return
        records, self._records = self._records, []
        acknowledgements, self._acknowledgements = self._acknowledgements, []
        for relay in tuple(self._relays):
            relay.listener.receive(records)
        for acknowledge in acknowledgements:
            acknowledge(Answer.TAKEN)


class LocalRelay:
    """``ports.relay.Relay`` for one process. Relays that are given the same hub form a group."""

    def __init__(self, hub: LocalHub | None = None) -> None:
        self._hub = hub or LocalHub()
        self._is_open = False
        self.listener: RelayListener

    def listen(self, listener: RelayListener) -> None:
        self.listener = listener

    def listen_for_departures(self, departed: Departed) -> None:
        """Other programs cannot reach this relay."""

    async def open(self) -> None:
        self._hub.join(self)
        self._is_open = True
        asyncio.get_running_loop().call_soon(self.listener.relay_reset)

    async def close(self) -> None:
        self._is_open = False
        self._hub.leave(self)

    async def ping(self) -> None:
        if not self._is_open:
            raise PartDown("the relay is not open")

    def publish(self, record: Record, acknowledge: Acknowledge | None = None) -> None:
        if self._is_open and self._hub.offer(record, acknowledge):
            return
        if acknowledge is not None:
            asyncio.get_running_loop().call_soon(acknowledge, Answer.UNKNOWN)

    @property
    def is_up(self) -> bool:
        return self._is_open


def from_url(url: str, **_others: object) -> LocalRelay:
    """Return what ``local:`` means, not opened yet. Raises ``SetupError`` if the URL says more than that."""
    if url != "local:":
        raise SetupError("relay: expected local: with nothing behind it")
    return LocalRelay()
