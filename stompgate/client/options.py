"""How a client behaves, and how long it waits before it comes back. Pure: chance and time are passed in."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stompgate.stomp.heartbeats import HeartBeat

FRAME_LIMIT_BYTES: Final = 16 * 1024 * 1024
"""Nothing larger is taken from a server, as a frame or as a WebSocket message."""

_STEADY_S: Final = 5.0
_EVERY_TEN_SECONDS: Final = HeartBeat(10_000, 10_000)


@dataclass(frozen=True, slots=True)
class Options:
    """How a connection behaves. ``deadline_s``: how long one answer, or the writing of one frame, may take.

    ``waiting_messages``: so many messages of a subscription wait to be taken; past that nothing is read any more, RECEIPTs
    included, and the server bounds what waits on its side. ``pause_first_s`` and ``pause_most_s``: see ``BackOff``.
    """

    heart_beat: HeartBeat = _EVERY_TEN_SECONDS
    deadline_s: float = 15.0
    waiting_messages: int = 1000
    pause_first_s: float = 0.5
    pause_most_s: float = 20.0
    tls: ssl.SSLContext | None = None


class BackOff:
    """How long to wait before the next try: twice as long each time, and by chance, since everyone else comes back too."""

    def __init__(self, options: Options, chance: Callable[[], float] = random.random) -> None:
        self._options = options
        self._chance = chance
        self._failures = 0

    def pause_s(self, lived_s: float = 0.0) -> float:
        """The pause after a try; ``lived_s``: how long what it had brought about has lasted. What was steady starts afresh."""
        if lived_s >= _STEADY_S:
            self._failures = 0
        ceiling_s = min(self._options.pause_most_s, self._options.pause_first_s * 2.0**self._failures)
        self._failures += ceiling_s < self._options.pause_most_s
        return ceiling_s * (0.5 + self._chance() / 2)
