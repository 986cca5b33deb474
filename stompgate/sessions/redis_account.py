"""What Redis is to be told: the state of users, never a queue of commands, so that it is bounded by who is or was just here.

Synchronous, and without I/O. The truth is the living sessions; Redis is told of a user's as a whole, again and again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

from stompgate.model.sessions import Session

from .living import Living


class Account:
    """The living sessions, the users whose state is to be told, and those that Redis may know of."""

    def __init__(self) -> None:
        self.living = Living()
        self._due: dict[str, None] = {}
        self._told_at_s: dict[str, float] = {}

    @property
    def due(self) -> int:
        """Users whose state is to be told."""
        return len(self._due)

    def opened(self, session: Session) -> None:
        """A session began."""
        self.living.opened(session)
        self._due[session.user] = None

    def closed(self, session_id: str) -> None:
        """A session ended. Of a user who came and went while Redis heard of neither there is nothing to tell."""
        user = self.living.closed(session_id)
        if user is None:
            return
        if self.living.of(user) or user in self._told_at_s:
            self._due[user] = None
        else:
            self._due.pop(user, None)

    def refresh(self, now_s: float, *, step_s: float, every_s: float) -> None:
        """Make due those who were told longest ago, so many per step of ``step_s`` that each has a turn within ``every_s``.

        Who was told less than half of that ago is left for later: after many at once the turns spread again.
        """
        turns = math.ceil(len(self._told_at_s) * step_s / every_s)
        for user, told_at_s in islice(self._told_at_s.items(), turns):
            if now_s - told_at_s < every_s / 2:
                break
            self._due[user] = None

    def take(self, limit: int, now_s: float) -> dict[str, Sequence[Session]]:
        """Some users who are due, with all their sessions: about ``limit`` sessions in all. They count as told of.

        To be ended by ``done`` or ``put_back``.
        """
        taken: dict[str, Sequence[Session]] = {}
        rest = limit
        for user in self._due:
            if rest <= 0:
                break
            taken[user] = self.living.of(user)
            rest -= max(1, len(taken[user]))
        for user in taken:
            del self._due[user]
            self._told_at_s.pop(user, None)  # it goes to the end
            self._told_at_s[user] = now_s
        return taken

    def done(self, users: Sequence[str]) -> None:
        """Redis has been told. Who is gone for good by now is forgotten."""
        for user in users:
            if user not in self._due and not self.living.of(user):
                self._told_at_s.pop(user, None)

    def put_back(self, users: Sequence[str]) -> None:
        """It is not certain that Redis has been told of these."""
        for user in users:
            self._due[user] = None

    def begin_anew(self) -> None:
        """Redis knows nothing: every living session is to be told."""
        self._told_at_s.clear()
        self._due = dict.fromkeys(self.living.users())
