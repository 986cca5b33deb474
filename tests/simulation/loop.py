"""An event loop without selector, threads or time of its own: it runs what is ready when it is told to, and its timers are
those of a fake clock. Each simulated server has one, so that a crash is to throw it away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from tests.fakes import FakeClock, FakeTimer

T = TypeVar("T")


class SimulatedLoop(asyncio.BaseEventLoop):
    """``mishaps`` collects what nobody caught."""

    _ready: deque[asyncio.Handle]

    def __init__(self, clock: FakeClock, mishaps: list[str]) -> None:
        super().__init__()
        self._clock = clock
        self._mishaps = mishaps
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.is_dead = False

    def time(self) -> float:
        return self._clock.monotonic()

    def call_at(  # type: ignore[override] # its types are those of any function
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._clock.call_later(when - self.time(), lambda: self._add_callback(timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """The clock forgets it when its time comes."""

    def _add_callback(self, handle: asyncio.Handle) -> None:
        if not handle.cancelled():
            self._ready.append(handle)

    def create_task(self, coro: Any, **how: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, **how)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that have not ended."""
        return [task for task in self._tasks if not task.done()]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_dead:
            self._mishaps.append(f"{context.get('message')}: {context.get('exception')!r}")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the running loop, for calls from outside."""
        previous = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(previous)

    def run_ready(self) -> int:
        """Run what is ready now, not what becomes ready by it. Returns how many calls that were."""
        count = len(self._ready)
        if count:
            with self.entered():
                for _ in range(count):
                    handle = self._ready.popleft()
                    if not handle.cancelled():
                        handle._run()
        return count

    def run_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task from outside."""
        with self.entered():
            return self.create_task(coroutine)

    def die(self) -> None:
        """Throw away everything: no task runs any further, not even to clean up in a way that anyone would notice."""
        self.is_dead = True
        with self.entered():
            for task in self.tasks:
                coroutine = task.get_coro()
                with suppress(RuntimeError):  # one that would wait once more while it is closed
                    coroutine.close()
        self._tasks.clear()
        self._ready.clear()
        self.close()


class ServerClock:
    """A server's ``Clock``: the world's time; calls are made within the server's loop, and not at all after its death."""

    def __init__(self, clock: FakeClock, loop: SimulatedLoop) -> None:
        self._clock = clock
        self._loop = loop

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def utc_us(self) -> int:
        return self._clock.utc_us()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> FakeTimer:
        return self._clock.call_later(delay_s, lambda: self._make(call))

    def _make(self, call: Callable[[], None]) -> None:
        if not self._loop.is_dead:
            with self._loop.entered():
                call()
