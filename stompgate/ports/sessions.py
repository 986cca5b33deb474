"""Who is connected, on this server and on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from stompgate.model.sessions import Session

from .part import Part


class Sessions(Part, Protocol):
    """Presence. It may lag by a second and may be away; chat never waits for it.

    ``opened`` and ``closed`` take effect in the order of the calls and never raise or block: what cannot be told the
    outside yet is told later. A user may have several sessions; the newest that lives stands for them.
    """

    def start(self) -> None:
        """From now on this process alone acts for the server's id: what an earlier life of it left may be cleared away.

        Called at most once, after ``open`` and before any session is opened. Nothing is written outside before it.
        """

    def opened(self, session: Session) -> None:
        """A session of this server began."""

    def closed(self, session_id: str) -> None:
        """A session of this server ended. Called exactly once per opened session."""

    def local_users(self) -> Sequence[str]:
        """The users connected to this server, each once, in the order of their oldest living session."""

    async def sessions_of(self, users: Sequence[str]) -> Mapping[str, Session]:
        """The newest living session of each of these users on any server; without those who have none. Raises ``PartDown``.

        A few round trips at most, however many users there are.
        """

    async def users_by_server(self) -> Mapping[str, Sequence[str]]:
        """The users of every server that has any, by server id, in no order. Raises ``PartDown``."""
