"""What waits to be sent on a connection, and the flush that sends it: once per turn of the event loop, joined.

A connection that takes no more is given until the transport holds ``limit_bytes``, or ``limit_s`` have passed without
relief; then whoever watches it is told, once, in a turn of its own. Offering never waits and never fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stompgate.timing.wheel import Entry, TimerWheel


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """``limit_bytes`` may wait for a slow reader, and for ``limit_s`` at most."""

    limit_bytes: int = 512 * 1024
    limit_s: float = 10.0


class Flusher:
    """Flushes all outboxes that were offered something in this turn of the loop. One per event loop."""

    __slots__ = ("_due", "_loop", "limits", "wheel")

    def __init__(self, loop: asyncio.AbstractEventLoop, wheel: TimerWheel, limits: OutboxLimits) -> None:
        self._loop = loop
        self._due: list[Outbox] = []
        self.wheel = wheel
        self.limits = limits

    def mark(self, outbox: Outbox) -> None:
        """Flush this outbox soon. To be called once between two flushes of it."""
        if not self._due:
            self._loop.call_soon(self._flush)
        self._due.append(outbox)

    def soon(self, call: Callable[[], None]) -> None:
        """Make a call in the next turn of the loop."""
        self._loop.call_soon(call)

    def now_s(self) -> float:
        """The loop's monotonic time."""
        return self._loop.time()

    def _flush(self) -> None:
        due, self._due = self._due, []
        now_s = self._loop.time()
        for outbox in due:
            outbox.flush(now_s)


class Outbox:
    """One connection's. ``too_slow`` is called once, when a limit is passed.

    What is counted is counted at the flush: a step more per message would be felt (``docs/decisions.md``).
    """

    __slots__ = (
        "_flusher",
        "_is_over",
        "_others",
        "_pending",
        "_relief",
        "_taken",
        "_too_late",
        "_too_slow",
        "_transport",
        "is_blocked",
        "last_sent_s",
        "sent_bytes",
    )

    def __init__(self, flusher: Flusher, transport: asyncio.WriteTransport, too_slow: Callable[[], None]) -> None:
        self._flusher = flusher
        self._transport = transport
        self._too_slow: Callable[[], None] | None = too_slow
        self._pending: list[bytes] = []
        self.is_blocked = False
        self._is_over = False
        self._too_late: Entry | None = None
        self._relief: asyncio.Future[None] | None = None
        self._taken = self._others = self.sent_bytes = 0
        self.last_sent_s = flusher.now_s()

    @property
    def messages(self) -> int:
        """How many messages were offered."""
        return self._taken + len(self._pending) - self._others

    @property
    def waiting_bytes(self) -> int:
        """What was offered and the system has not taken yet."""
        return sum(map(len, self._pending)) + self._transport.get_write_buffer_size()

    def offer(self, data: bytes) -> None:
        """Send a message at the end of this turn of the loop, after what was offered before."""
        pending = self._pending
        if not pending:
            self._flusher.mark(self)
        pending.append(data)

    def offer_other(self, data: bytes) -> None:
        """The same for what is no message."""
        self._others += 1
        self.offer(data)

    def flush(self, now_s: float) -> None:
        """Hand everything to the transport now."""
        pending = self._pending
        if not pending:
            return
        self._taken += len(pending)
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        pending.clear()
        transport = self._transport
        if self._is_over or transport.is_closing():
            return
        transport.write(data)
        self.last_sent_s = now_s
        self.sent_bytes += len(data)
        if self.is_blocked and transport.get_write_buffer_size() > self._flusher.limits.limit_bytes:
            self._give_up_soon()

    def drained(self) -> Awaitable[None] | None:
        """None if the transport takes more, else an awaitable that ends when it does again or the connection ends."""
        self.flush(self._flusher.now_s())  # before that it is not known
        if not self.is_blocked:
            return None
        if self._relief is None:
            self._relief = asyncio.get_running_loop().create_future()
        return asyncio.shield(self._relief)

    def block(self) -> None:
        """The transport's buffer is above its high-water mark."""
        self.is_blocked = True
        limits = self._flusher.limits
        if self._transport.get_write_buffer_size() > limits.limit_bytes:
            self._give_up_soon()
        elif self._too_slow is not None:
            self._too_late = self._flusher.wheel.schedule(self._flusher.now_s() + limits.limit_s, self._give_up)

    def relieve(self) -> None:
        """The transport's buffer is below its low-water mark, or gone."""
        self.is_blocked = False
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None
        if self._relief is not None:
            self._relief.set_result(None)
            self._relief = None

    def end(self) -> None:
        """Nothing is sent any more, whatever is offered: the connection is gone, or its last bytes are written."""
        self._is_over = True
        self._too_slow = None
        self._taken += len(self._pending)
        self._pending.clear()
        self.relieve()

    def _give_up_soon(self) -> None:
        # Not now: whoever asks whether this has drained may be in the middle of all consumers of a queue.
        self._flusher.soon(self._give_up)

    def _give_up(self) -> None:
        too_slow, self._too_slow = self._too_slow, None
        if too_slow is not None:
            too_slow()
