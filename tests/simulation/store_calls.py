"""The store's pace in the simulation: every call stops before it takes effect and again before it is answered, and the
schedule says what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

from .loop import SimulatedLoop

T = TypeVar("T")


class StoreCall:
    """One call of one server."""

    def __init__(self, server_id: str, loop: SimulatedLoop, name: str, work: Callable[[], Any], *, writes: bool) -> None:
        self.server_id = server_id
        self.loop = loop
        self.name = name
        self.writes = writes
        self.is_done = False
        self._work = work
        self._result: Any = None
        self._error: StoreUnavailable | None = None
        self.future: asyncio.Future[Any] = loop.create_future()

    @property
    def is_answered(self) -> bool:
        """Nobody waits for it (any more)."""
        return self.loop.is_dead or self.future.done()

    def do(self) -> None:
        """Let it take effect."""
        self.is_done = True
        try:
            self._result = self._work()
        except StoreUnavailable as error:
            self._error = error

    def answer(self, error: Exception | None = None) -> None:
        """Tell the caller, if it waits still."""
        error = error or self._error
        if self.is_answered:
            return
        if error is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(error)


class StoreCalls:
    """All calls under way, in their order, and writes that take effect when nobody expects it any more.

    ``faults``: how likely a call is to go wrong at each of its two points, 0 to 1.
    """

    def __init__(self, random: Random, faults: float) -> None:
        self._random = random
        self.faults = faults
        self.under_way: list[StoreCall] = []
        self.late: list[StoreCall] = []
        self.down: set[str] = set()  # servers whose store is down
        self.held: set[str] = set()  # calls of these names are not answered

    def pace(self, server_id: str, loop: SimulatedLoop) -> ServerPace:
        return ServerPace(self, server_id, loop)

    def crash(self, server_id: str) -> None:
        """The server is gone: what it asked for and was not done is done later or never."""
        for call in [call for call in self.under_way if call.server_id == server_id]:
            self.under_way.remove(call)
            if call.writes and not call.is_done and self._random.random() < 0.5:
                self.late.append(call)

    def step(self) -> str:
        """Let some of the calls go on."""
        if self.late and self._random.random() < 0.3:
            call = self._random.choice(self.late)
            self._do(call)
            return f"late {call.name} of {call.server_id}"
        some = self._random.sample(self.under_way, self._random.randint(1, len(self.under_way)))
        return " ".join(f"{call.name}/{call.server_id[-1]}:{self._go_on(call)}" for call in some)

    def finish(self) -> bool:
        """Let all go on to their honest end, but for held ones. Returns whether there were any."""
        calls = [*self.late, *(call for call in self.under_way if call.name not in self.held)]
        for call in calls:
            if not call.is_done:
                self._do(call)
            self._answer(call)
        return bool(calls)

    def _go_on(self, call: StoreCall) -> str:
        goes_wrong = self._random.random() < self.faults
        if call.server_id in self.down and not call.is_done:
            self._answer(call, StoreUnavailable("down"))
            return "down"
        if not call.is_done and not goes_wrong:
            self._do(call)
            if self._random.random() < 0.5:
                return "done"
            self._answer(call)
            return "done and answered"
        if call.is_done and not goes_wrong:
            self._answer(call)
            return "answered"
        return self._go_wrong(call)

    def _go_wrong(self, call: StoreCall) -> str:
        if not call.writes or (not call.is_done and self._random.random() < 0.4):
            self._answer(call, StoreUnavailable("refused"))
            return "unavailable"
        how = "done" if call.is_done else self._random.choice(("done", "never", "late"))
        if how == "late":
            self.late.append(call)
        elif how == "done" and not call.is_done:
            self._do(call)
        self._answer(call, OutcomeUnknown("lost"))
        return f"unknown ({how})"

    def _do(self, call: StoreCall) -> None:
        # The rows that a late group has locked keep the next one of its server waiting.
        while call.name == "append" and call not in self.late:
            earlier = next((one for one in self.late if one.name == "append" and one.server_id == call.server_id), None)
            if earlier is None:
                break
            self._do(earlier)
        if call in self.late:
            self.late.remove(call)
        call.do()

    def _answer(self, call: StoreCall, error: Exception | None = None) -> None:
        if call in self.under_way:
            self.under_way.remove(call)
        call.answer(error)


class ServerPace:
    """``memory_store.Pace`` of one server."""

    def __init__(self, calls: StoreCalls, server_id: str, loop: SimulatedLoop) -> None:
        self._calls = calls
        self._server_id = server_id
        self._loop = loop

    async def run(self, name: str, work: Callable[[], T], *, writes: bool) -> T:
        call = StoreCall(self._server_id, self._loop, name, work, writes=writes)
        self._calls.under_way.append(call)
        answer: T = await call.future
        return answer
