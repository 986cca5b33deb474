"""A hashed timer wheel: many timers, most of which are cancelled or put off, at a constant price each.

Time is an argument everywhere; whoever drives the wheel has the clock. A call is never made early. It must never lose
the calls beside one that fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Final

_BY_TIME: Final = attrgetter("at_s")


class Entry:
    """A call that is due at ``at_s``."""

    __slots__ = ("_call", "_wheel", "at_s")

    def __init__(self, wheel: TimerWheel, at_s: float, call: Callable[[], None]) -> None:
        self.at_s = at_s
        self._wheel = wheel
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Never make the call, and let go of it now. Cancelling again, or after the call, does nothing."""
        if self._call is not None:
            self._call = None
            self._wheel._pending -= 1

    @property
    def is_pending(self) -> bool:
        """Whether the call is still to be made."""
        return self._call is not None

    def _make_call(self) -> None:
        call = self._call
        if call is not None:
            # Settled first: the call may look at, cancel or replace its own entry.
            self.cancel()
            call()


class TimerWheel:
    """Timers in slots of ``tick_s`` seconds; one turn of the wheel is ``slots`` ticks, and a timer may be many turns away.

    A driver that advances every ``tick_s`` makes each call at most that late. ``len`` counts the calls still to be made, so
    that a driver may rest while it is 0. A cancelled entry is empty at once, and is itself freed when the wheel next passes
    it, within one turn.
    """

    __slots__ = ("_due", "_pending", "_slots", "_tick", "tick_s")

    def __init__(self, tick_s: float = 0.05, slots: int = 1024) -> None:
        self.tick_s = tick_s
        self._tick = 0  # the tick that the time was last in
        self._slots: list[list[Entry]] = [[] for _ in range(slots)]
        self._due: deque[Entry] = deque()
        self._pending = 0

    def __len__(self) -> int:
        return self._pending

    def schedule(self, at_s: float, call: Callable[[], None]) -> Entry:
        """Make ``call`` in the first ``advance`` to ``at_s`` or later that begins after this."""
        entry = Entry(self, at_s, call)
        self._put(entry)
        self._pending += 1
        return entry

    def advance(self, now_s: float) -> None:
        """Make the calls that are due at ``now_s``, in the order of their times.

        Calls may schedule and cancel what they like; what they schedule waits for the next advance, even if it is due. An
        exception of a call comes out here; the calls after it stay due, so the driver says what it thinks of it and
        advances again. A time before the last one makes no calls.
        """
        self._collect(now_s)
        due = self._due
        while due:
            due.popleft()._make_call()

    def _collect(self, now_s: float) -> None:
        """Move what is due out of the slots that the time has passed, each of them visited once."""
        now_tick = int(now_s / self.tick_s)
        due: list[Entry] = []
        # The last slot is visited again: its tick may not have been over.
        for tick in range(max(self._tick, now_tick - len(self._slots) + 1), now_tick + 1):
            slot = self._slots[tick % len(self._slots)]
            if slot:
                due += [entry for entry in slot if entry.at_s <= now_s]
                slot[:] = [entry for entry in slot if entry.at_s > now_s and entry.is_pending]
        due.sort(key=_BY_TIME)
        self._due.extend(due)
        self._tick = max(self._tick, now_tick)

    def _put(self, entry: Entry) -> None:
        # What is overdue already goes where the next advance looks first.
        tick = max(int(entry.at_s / self.tick_s), self._tick)
        self._slots[tick % len(self._slots)].append(entry)
