"""The lease of this server's id: taken before the server serves, renewed while it runs, let go at its end.

Of two processes with one id each would count the other's records as its own. The keeper must never say that the lease is
held when another process may have it: it counts from before the store was asked, and by the clock that never jumps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from stompgate.ports.clock import Clock, pause
from stompgate.ports.part import SetupError
from stompgate.ports.store import LEASE_S, Lease, OutcomeUnknown, Store, StoreUnavailable

RENEW_EVERY_S = 5.0
LOOK_EVERY_S = 1.0
"""Seconds between two looks at a lease that another has, and between two tries while the store is away."""

MARGIN_S = 1.0
"""By so much earlier than the store this side takes its lease for expired: two clocks, and what is under way already."""

_log = structlog.get_logger()


class LeaseKeeper:
    """Keeps the lease of ``server_id`` for ``owner``, a name that no other process has.

    ``lost`` is called once, with a sentence for the operator, if another process is found to have it.
    """

    def __init__(self, store: Store, clock: Clock, server_id: str, owner: str, lost: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._server_id = server_id
        self._owner = owner
        self._lost = lost
        self._held_until_s = float("-inf")
        self._renewing: asyncio.Task[None] | None = None

    @property
    def is_held(self) -> bool:
        """Whether no other process can have it: the last confirmed renewal was asked for less than a lease ago."""
        return self._clock.monotonic() < self._held_until_s

    async def take(self) -> None:
        """Take the lease. Of a server that is gone, or about to go, it is free within ``LEASE_S``.

        Raises ``SetupError`` if it was renewed all that time, or if the store did not answer.
        """
        began_s = self._clock.monotonic()
        first: Lease | None = None
        while (lease := await self._ask()) is None or lease.owner != self._owner:
            if first is None and lease is not None:
                first = lease
                _log.info("waiting for the lease", server=self._server_id, held_by=lease.owner)
            waited_s = self._clock.monotonic() - began_s
            is_renewed = lease is not None and lease != first
            # One that nobody renews is waited for longer: the clock of the database may have been set back meanwhile.
            if waited_s >= 2 * LEASE_S or (waited_s >= LEASE_S and is_renewed):
                raise SetupError(self._objection(lease))
            await pause(self._clock, LOOK_EVERY_S)

    def start(self) -> None:
        """Begin to renew it."""
        self._renewing = asyncio.create_task(self._renew(), name="lease renews")

    async def close(self) -> None:
        """Let it go. If the store is away it expires by itself."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})
        self._held_until_s = float("-inf")
        try:
            await self._store.release_lease(self._owner)
        except (StoreUnavailable, OutcomeUnknown) as error:
            _log.info("the lease was not let go", server=self._server_id, reason=str(error))

    async def _renew(self) -> None:
        wait_s = RENEW_EVERY_S if self.is_held else 0.0
        while True:
            await pause(self._clock, wait_s)
            lease = await self._ask()
            if lease is not None and lease.owner != self._owner:
                self._held_until_s = float("-inf")
                self._lost(
                    f"another process acts as server {self._server_id} by now: this one was stopped, or without its store,"
                    f" for {LEASE_S:g} s, or two are set up with one server_id"
                )
                return
            wait_s = LOOK_EVERY_S if lease is None else RENEW_EVERY_S

    async def _ask(self) -> Lease | None:
        """Take or renew it; what is in force then, None if the store did not say."""
        asked_s = self._clock.monotonic()
        try:
            lease = await self._store.take_lease(self._owner)
        except (StoreUnavailable, OutcomeUnknown):
            return None
        if lease.owner == self._owner:
            self._held_until_s = asked_s + LEASE_S - MARGIN_S
        return lease

    def _objection(self, lease: Lease | None) -> str:
        if lease is None:
            return f"the store did not answer: the lease of server {self._server_id} could not be taken"
        return (
            f"another process runs as server {self._server_id} on this store; stop it, or give this one a server_id of its own"
        )
