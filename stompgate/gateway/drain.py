"""The drain: every connection of a server that is going down is closed, spread over a window, so that those who come back
to the other servers come evenly.

A connection is served as usual until its turn. Then no further frame of it is taken, what it was owed an answer for is
answered, and it is closed. It must never end a connection that the store still owes an answer before that had its time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from stompgate.model.causes import Cause
from stompgate.ports.clock import pause
from stompgate.stomp.states import State

from .gate import Gate
from .peer import Peer

STEP_S: Final = 0.05
_LONGEST_STEP_S: Final = 4 * STEP_S


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """``closes_per_s`` connections are closed, more only where ``window_s`` would not do for all of them. ``answers_s``: how
    long the store may take to answer what one of them has sent."""

    window_s: float = 30.0
    closes_per_s: float = 200.0
    answers_s: float = 5.0


class Pace:
    """How many may be closed at each step. Time is passed in.

    A step that comes late is not made up for: a burst of those who come back is what the whole is to avoid. Whoever is left
    at the end of the window goes then.
    """

    __slots__ = ("_closes_per_s", "_credit", "_end_s", "_last_s")

    def __init__(self, settings: DrainSettings, now_s: float) -> None:
        self._closes_per_s = settings.closes_per_s
        self._end_s = now_s + settings.window_s
        self._last_s = now_s - STEP_S  # the first step has something to give
        self._credit = 0.0

    def due(self, now_s: float, left: int) -> int:
        """How many of those ``left`` are to be closed now."""
        rest_s = self._end_s - now_s
        if rest_s <= 0:
            return left
        step_s = min(now_s - self._last_s, _LONGEST_STEP_S)
        self._last_s = now_s
        self._credit += step_s * max(self._closes_per_s, left / rest_s)
        due = min(int(self._credit), left)
        self._credit -= due
        return due


class Drain:
    """Empties a gate that takes nobody in any more."""

    def __init__(self, gate: Gate, settings: DrainSettings) -> None:
        self._gate = gate
        self.settings = settings

    async def run(self) -> None:
        """Close everyone. Returns when each has been sent its close, ``window_s + answers_s`` from now at the latest."""
        clock = self._gate.clock
        waiting = deque(self._gate.peers)
        answering: list[Peer] = []
        pace = Pace(self.settings, clock.monotonic())
        while waiting:
            for _ in range(pace.due(clock.monotonic(), len(waiting))):
                peer = _next_of(waiting)
                if peer is None:
                    break
                peer.dismiss(Cause.SERVER_STOPPING, self.settings.answers_s)
                if peer.state is not State.CLOSING:
                    answering.append(peer)
            await pause(self._gate.clock, STEP_S)
        while answering := [peer for peer in answering if peer.state is not State.CLOSING and not peer.is_gone]:
            await pause(self._gate.clock, STEP_S)


def _next_of(waiting: deque[Peer]) -> Peer | None:
    """The next who is still there; who has left meanwhile takes nobody's turn."""
    while waiting:
        peer = waiting.popleft()
        if not peer.is_gone and peer.state is not State.CLOSING:
            return peer
    return None
