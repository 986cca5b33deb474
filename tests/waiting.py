"""Waiting for a condition, with a deadline that fails the test: what comes by itself needs no sleep for luck."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

DEADLINE_S = 30.0
_POLL_S = 0.005


async def until(
    holds: Callable[[], bool] | Callable[[], Awaitable[bool]],
    what: str,
    deadline_s: float = DEADLINE_S,
    *,
    every_s: float = _POLL_S,
) -> None:
    """Return once ``holds`` is true, which is asked every so many seconds."""
    try:
        async with asyncio.timeout(deadline_s):
            while not await _true(holds()):  # noqa: ASYNC110 (what is waited for may lie in another process)
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {deadline_s:g} s") from None


async def _true(answer: bool | Awaitable[bool]) -> bool:
    return answer if isinstance(answer, bool) else await answer
