"""What a SockJS session owes to whoever receives for it: ``o`` once, messages in their order, and in the end ``c``, again and
again.

It knows neither time nor receivers but whether there is one: who holds it says when that came and left.
"""

from __future__ import annotations

from enum import Enum, auto

from .framing import INTERRUPTED, OPEN, close_frame, messages_frame


class Phase(Enum):
    """Where a session is. It goes down this list, and may leave out what it does not need."""

    NEW = auto()
    """``o`` is owed."""
    OPEN = auto()
    CLOSING = auto()
    """What was offered before is owed, then ``c``."""
    CLOSED = auto()
    """``c`` was given, and is given to whoever comes."""


class Session:
    """One session. ``has_receiver``: a request waits for what it says; there may be one at a time."""

    __slots__ = ("_close", "_is_open_told", "_waiting", "has_receiver", "phase", "waiting_bytes")

    def __init__(self) -> None:
        self.phase = Phase.NEW
        self.has_receiver = False
        self.waiting_bytes = 0
        self._is_open_told = False
        self._waiting: list[bytes] = []
        self._close = b""

    @property
    def is_open(self) -> bool:
        """Whether it takes and gives messages."""
        return self.phase in (Phase.NEW, Phase.OPEN)

    @property
    def waiting_messages(self) -> int:
        """Messages that nobody has taken."""
        return len(self._waiting)

    def offer(self, encoded: bytes) -> None:
        """Owe a message, as a JSON string. An empty one is none; a session that closes takes no more."""
        if encoded and self.is_open:
            self._waiting.append(encoded)
            self.waiting_bytes += len(encoded)

    def close(self, code: int, reason: str) -> None:
        """Owe a close after what was offered. Closing again does nothing."""
        if self.is_open:
            self.phase = Phase.CLOSING
            self._close = close_frame(code, reason)

    def interrupt(self) -> None:
        """A receiver vanished with an unknown part of what it was given: there is no going on ("Handling close")."""
        if self.phase is not Phase.CLOSED:
            self._forget()
            self.phase = Phase.CLOSED
            self._is_open_told = True
            self._close = INTERRUPTED

    def next_frame(self) -> bytes | None:
        """The next frame for the receiver, None while there is none."""
        if not self._is_open_told:
            self._is_open_told = True
            if self.phase is Phase.NEW:
                self.phase = Phase.OPEN
            return OPEN
        if self._waiting:
            frame = messages_frame(self._waiting)
            self._forget()
            return frame
        if self.is_open:
            return None
        self.phase = Phase.CLOSED
        return self._close

    def _forget(self) -> None:
        self._waiting.clear()
        self.waiting_bytes = 0
