"""The sequencer of a room: lets its messages through in the order of ``seq``, each once.

Pure: messages in, messages out; reads, timers and receivers belong to ``feeds``. It must never let a number through
before the one below it, unless the store has said that the one below does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence

from stompgate.model.messages import ChatMessage

_NOTHING: tuple[ChatMessage, ...] = ()


class Sequencer:
    """One room's order on this server.

    ``position`` is the highest ``seq`` let through (None before the start is known), ``highest`` the highest heard of.
    """

    __slots__ = ("_doubted", "_held", "_held_limit", "_news", "_paused", "highest", "position", "repeats")

    def __init__(self, held_limit: int) -> None:
        self.position: int | None = None
        self.highest = 0
        self.repeats = 0
        self._held: dict[int, ChatMessage] = {}
        self._held_limit = held_limit
        self._paused = False
        self._doubted: frozenset[int] = frozenset()  # held when the store was asked
        self._news = 0  # the highest heard of since then

    @property
    def is_behind(self) -> bool:
        """Whether a number is missing below one that was heard of."""
        return self.position is not None and not self._paused and self.highest > self.position

    @property
    def held(self) -> int:
        """How many messages wait for one below them."""
        return len(self._held)

    def start(self, last_seq: int) -> Sequence[ChatMessage]:
        """Begin above the store's last ``seq``, read after this sequencer was made known to those who offer."""
        self.position = last_seq
        self._drop_passed(last_seq)
        return self._release()

    def offer(self, message: ChatMessage) -> Sequence[ChatMessage]:
        """Take a message from anywhere, in any order, any number of times. Returns what is let through by it."""
        seq = message.seq
        if self.position is not None:
            if seq <= self.position:
                self.repeats += 1
                return _NOTHING
            if seq == self.position + 1 and not self._paused:
                self.position = seq
                self.highest = max(self.highest, seq)
                return (message, *self._release()) if self._held else (message,)
        self._hold(message)
        return self._release()

    def hear_of(self, seq: int) -> None:
        """Learn that the store has a message of this number."""
        self.highest = max(self.highest, seq)
        self._news = max(self._news, seq)

    def pause(self) -> None:
        """Hold everything until ``resume``: who may receive must be found out first."""
        self._paused = True

    def resume(self) -> Sequence[ChatMessage]:
        """Go on after ``pause``."""
        self._paused = False
        return self._release()

    def asking(self) -> None:
        """A read of the store begins: what was heard of before it must be in the answer, or does not exist."""
        self._doubted = frozenset(self._held)
        self._news = 0

    def fill(self, last_seq: int, rows: Sequence[ChatMessage], *, complete: bool) -> Sequence[ChatMessage]:
        """Take the answer: the last ``seq``, then rows above ``position``, all of them where ``complete``.

        Numbers up to ``last_seq`` that are absent are passed over. What claims a number above it, and was heard of before
        the question only, is not believed.
        """
        if self.position is None:
            return _NOTHING
        through: list[ChatMessage] = []
        for row in rows:
            if row.seq > self.position:
                self.position = row.seq
                through.append(row)
        if complete:
            self.position = max(self.position, last_seq)
            self._disbelieve()
        self._drop_passed(self.position)
        through.extend(self._release())
        return through

    def _disbelieve(self) -> None:
        """Whatever was held before the question is below ``position`` by now, or nobody's."""
        for seq in self._doubted:
            self._held.pop(seq, None)
        self.highest = max(self._news, max(self._held, default=0), self.position or 0)

    def _drop_passed(self, position: int) -> None:
        for seq in [seq for seq in self._held if seq <= position]:
            del self._held[seq]

    def _hold(self, message: ChatMessage) -> None:
        self.hear_of(message.seq)
        if len(self._held) >= self._held_limit and message.seq not in self._held:
            self._held.clear()  # ``highest`` remembers that there is more; the store has it
        self._held[message.seq] = message

    def _release(self) -> Sequence[ChatMessage]:
        if self.position is None or self._paused or not self._held:
            return _NOTHING
        through: list[ChatMessage] = []
        while (message := self._held.pop(self.position + 1, None)) is not None:
            self.position = message.seq
            through.append(message)
        self.highest = max(self.highest, self.position)
        return through
