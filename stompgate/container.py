"""The parts of a server and their lifetimes: made from recipes, opened in order, closed in reverse, pinged for the health page.

It knows ports and recipes, never an adapter: ``wiring.py`` registers those. A part is made once, when it is first asked
for or opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from stompgate.ports.part import Measured, Part, PartDown

PING_DEADLINE_S = 2.0
# Above the adapters' own: theirs end with a reason.
CLOSE_DEADLINE_S = 15.0

PartT = TypeVar("PartT", bound=Part)


@dataclass(frozen=True, slots=True)
class PartState:
    """How one part is. ``needed``: without it the server is not ready, rather than degraded. ``reason``: why it is not ok."""

    name: str
    ok: bool
    reason: str
    needed: bool


@dataclass(frozen=True, slots=True)
class _Recipe:
    make: Callable[[], Part]
    needed: bool


class Container:
    """Recipes by port type, and the parts that were made from them.

    ``ping_deadline_s`` and ``close_deadline_s`` bound the wait for each single part.
    """

    def __init__(self, *, ping_deadline_s: float = PING_DEADLINE_S, close_deadline_s: float = CLOSE_DEADLINE_S) -> None:
        self._ping_deadline_s = ping_deadline_s
        self._close_deadline_s = close_deadline_s
        self._recipes: dict[type[Any], _Recipe] = {}
        self._parts: dict[type[Any], Any] = {}
        self._making: list[type[Any]] = []
        self._opened = AsyncExitStack()

    def register(self, port: type[PartT], make: Callable[[], PartT], *, needed: bool = True) -> None:
        """Say how the part behind ``port`` is made. Parts are opened in the order of their registration."""
        if port in self._recipes:
            raise ValueError(f"{port.__name__} is registered already")
        self._recipes[port] = _Recipe(make, needed)

    def get(self, port: type[PartT]) -> PartT:
        """Return the part behind ``port``, opened or not. Raises ``LookupError`` without a recipe, or if it needs itself."""
        if port not in self._parts:
            if port not in self._recipes:
                raise LookupError(f"{port.__name__} is not registered")
            if port in self._making:
                raise LookupError(" needs ".join(kind.__name__ for kind in [*self._making, port]))
            self._making.append(port)
            try:
                self._parts[port] = self._recipes[port].make()
            finally:
                self._making.pop()
        part: PartT = self._parts[port]
        return part

    def measured(self) -> Sequence[Measured]:
        """The parts that keep figures, in the order of their registration."""
        parts = [self.get(port) for port in self._recipes]
        return [part for part in parts if isinstance(part, Measured)]

    async def open(self) -> None:
        """Open every part. When one fails, those that were opened are closed again and its error is raised."""
        async with AsyncExitStack() as opened:
            for port in self._recipes:
                part: Part = self.get(port)
                await part.open()
                opened.push_async_callback(self._close_part, part)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        """Close every opened part, the last one first, whether or not others fail; the last error is raised then."""
        opened, self._opened = self._opened, AsyncExitStack()
        await opened.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def ping(self) -> Sequence[PartState]:
        """Return how every part is, in the order of their registration. Takes the ping deadline at most and never raises."""
        pings = [self._ping_part(self.get(port)) for port in self._recipes]
        answers = await asyncio.gather(*pings, return_exceptions=True)
        return [
            PartState(port.__name__.lower(), answer is None, self._reason(answer), recipe.needed)
            for (port, recipe), answer in zip(self._recipes.items(), answers, strict=True)
        ]

    async def _close_part(self, part: Part) -> None:
        async with asyncio.timeout(self._close_deadline_s):
            await part.close()

    async def _ping_part(self, part: Part) -> None:
        async with asyncio.timeout(self._ping_deadline_s):
            await part.ping()

    def _reason(self, answer: BaseException | None) -> str:
        match answer:
            case None:
                return ""
            case PartDown():
                return str(answer)
            case TimeoutError():
                return f"no answer within {self._ping_deadline_s:g} s"
            case _:
                # Not a driver's text: it may hold what is not for a page.
                return type(answer).__name__
