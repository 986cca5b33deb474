"""What is left of deleted rooms is cleared away in the background, slice by slice, so that others get in between.

What fails is left to the next time: a removal, or the store's next opening. Servers that do it together take nothing from
each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

_log = structlog.get_logger()


class Clearing:
    """Clears by ``clear_slice``, one transaction each, which answers False when nothing was left."""

    def __init__(self, clear_slice: Callable[[], Awaitable[bool]]) -> None:
        self._clear_slice = clear_slice
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Clear what there is, if that is not under way."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._clear(), name="clear deleted rooms")

    async def close(self) -> None:
        """Stop, and wait until it has."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _clear(self) -> None:
        try:
            while await self._clear_slice():
                pass
        except (StoreUnavailable, OutcomeUnknown) as error:
            _log.warning("deleted rooms are not cleared yet", reason=str(error))
