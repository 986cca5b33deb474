"""Storms of equal lines: the first of them are written, the others counted, and one line says how many there were.

It sits between the loggers, ours and those of the libraries, and the stream, and works on any thread, with or without an
event loop. It must never keep back the first of a kind, nor errors that differ, nor grow with what it is told.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import RLock, Timer
from time import monotonic
from typing import Any, Final, Protocol

EVENT: Final = "equal lines were summed up"

IDS: Final = ("connection", "user", "room", "message", "address", "inquiry", "server")
"""Fields that say whose a line is, not what has happened: lines that differ in these alone are equal."""

_KINDS: Final = 1000
"""How many kinds of lines are watched. Beyond that the oldest begins anew."""


@dataclass(frozen=True, slots=True)
class BurstLimits:
    """``lines`` of a kind are written within ``window_s``; 0: all of them."""

    lines: int
    window_s: float


class Timers(Protocol):
    """A clock and an alarm, as ``ports.clock.Clock`` has them too."""

    def monotonic(self) -> float:
        """Seconds that only ever go forward."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> object:
        """Make ``call`` once."""


class ThreadTimers:
    """Alarms on threads of their own, which keep no process from its end, and of which there are none any more at that end."""

    def monotonic(self) -> float:
        """The system's monotonic time."""
        return monotonic()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> object:
        """Make ``call`` once, on another thread."""
        timer = Timer(delay_s, call)
        timer.daemon = True
        with suppress(RuntimeError):
            timer.start()
        return timer


class _Window:
    """What has come of one kind since ``began_s``. ``first`` and ``last``: whose the lines were that were not written."""

    __slots__ = ("_about", "began_s", "first", "last", "last_s", "lines", "repeated")

    def __init__(self, record: logging.LogRecord, now_s: float) -> None:
        fields = _fields(record)
        cause = {"cause": fields["cause"]} if "cause" in fields else {}
        level = {"levelno": record.levelno, "levelname": record.levelname}
        self._about = {"name": record.name, **level, "of": _event(record), **cause}
        self.began_s = self.last_s = now_s
        self.lines = self.repeated = 0
        self.first: Mapping[str, Any] = {}
        self.last: Mapping[str, Any] = {}

    def count(self, record: logging.LogRecord, now_s: float) -> None:
        """One more is not written."""
        self.repeated += 1
        self.last_s = now_s
        self.last = {name: value for name, value in _fields(record).items() if name in IDS}
        self.first = self.first or self.last

    def sum(self) -> logging.LogRecord:
        """The line that stands for them: of their logger and level."""
        whose = {"first": self.first, "last": self.last} if self.first else {}
        told = {"repeated": self.repeated, "over_s": round(self.last_s - self.began_s, 3), **whose}
        return logging.makeLogRecord({"msg": EVENT, **self._about, **told})


class Bursts(logging.Filter):
    """Lets through what is to be written. ``write`` takes the line that sums up the rest, when the window of its kind ends."""

    def __init__(self, limits: BurstLimits, timers: Timers, write: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._limits = limits
        self._timers = timers
        self._write = write
        self._windows: dict[Hashable, _Window] = {}
        self._has_alarm = False
        self._lock = RLock()  # a collection may destroy a task within it, and that is logged

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is to be written."""
        limits = self._limits
        if not limits.lines:
            return True
        if record.levelno >= logging.CRITICAL:
            self.tell()  # the process may end with this line
            return True
        over: list[_Window] = []
        kind, now_s = _kind(record), self._timers.monotonic()
        with self._lock:
            window = self._windows.get(kind)
            if window is None or now_s - window.began_s >= limits.window_s:
                over = [] if window is None else [self._windows.pop(kind)]
                window = self._windows[kind] = _Window(record, now_s)
                if len(self._windows) > _KINDS:
                    over.append(self._windows.pop(next(iter(self._windows))))
            window.lines += 1
            passes = window.lines <= limits.lines
            if not passes:
                window.count(record, now_s)
                self._set_alarm(window.began_s + limits.window_s - now_s)
        self._sum_up(over)
        return passes

    def tell(self) -> None:
        """Say now what was counted so far."""
        with self._lock:
            windows = list(self._windows.values())
            self._windows.clear()
        self._sum_up(windows)

    def _set_alarm(self, delay_s: float) -> None:
        if not self._has_alarm:
            self._has_alarm = True
            self._timers.call_later(delay_s, self._alarm)

    def _alarm(self) -> None:
        """End the windows that are over; for those that are not and have something to tell, come again."""
        now_s, window_s = self._timers.monotonic(), self._limits.window_s
        with self._lock:
            self._has_alarm = False
            over = {kind: window for kind, window in self._windows.items() if now_s - window.began_s >= window_s}
            for kind in over:
                del self._windows[kind]
            owed = next((window for window in self._windows.values() if window.repeated), None)
            if owed is not None:
                self._set_alarm(owed.began_s + window_s - now_s)
        self._sum_up(list(over.values()))

    def _sum_up(self, windows: list[_Window]) -> None:
        for window in windows:
            if window.repeated:
                self._write(window.sum())


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """What a line of ours has; a library's has none."""
    return record.msg if isinstance(record.msg, dict) else {}


def _event(record: logging.LogRecord) -> str:
    return str(_fields(record).get("event", record.msg))


def _kind(record: logging.LogRecord) -> Hashable:
    """What equal lines have in common. Above info it is everything that is not an id: what differs there is to be seen."""
    fields = _fields(record)
    if record.levelno <= logging.INFO:
        return record.name, record.levelno, _event(record), str(fields.get("cause", ""))
    said = str({name: value for name, value in fields.items() if name not in IDS and name not in ("time", "exc_info")})
    return record.name, record.levelno, said if fields else record.getMessage(), _fault(fields.get("exc_info", record.exc_info))


def _fault(given: Any) -> str:
    """Which exception it is about, and where that was raised."""
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if not isinstance(error, BaseException):
        return ""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
    return f"{type(error).__name__} {where}"
