"""Cancels what is awaited at a wait of choice, so that a test can do it at every one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from contextlib import suppress
from typing import Any


class CancelledAt:
    """Awaits something and cancels it at its ``number``-th wait: before what it waits for has come, or right after it."""

    def __init__(self, awaited: Awaitable[Any], number: int, *, after: bool) -> None:
        self._awaited = awaited
        self._number = number
        self._after = after

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._awaited.__await__()
        wanted = next(inner, None)
        for _ in range(1, self._number):
            yield wanted
            try:
                wanted = next(inner)
            except StopIteration as end:
                return end.value
        if self._after:
            yield wanted
        elif wanted is not None:  # as a task that is cancelled does it
            wanted.cancel()
            with suppress(asyncio.CancelledError):
                yield wanted
        with suppress(StopIteration):
            wanted = inner.throw(asyncio.CancelledError())
            while True:  # what it still waits for on its way out
                yield wanted
                wanted = next(inner)
        raise AssertionError("it went on as if it had not been cancelled")
