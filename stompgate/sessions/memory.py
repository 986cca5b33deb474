"""Presence of a server that runs alone: what it knows itself is all there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stompgate.model.sessions import Session
from stompgate.ports.part import Figure, SetupError

from .living import Living


class MemorySessions:
    """``ports.sessions.Sessions`` for the one server ``server_id``."""

    def __init__(self, server_id: str) -> None:
        self._server_id = server_id
        self._living = Living()

    async def open(self) -> None:
        """Nothing is needed."""

    def start(self) -> None:
        """There was no earlier life."""

    async def close(self) -> None:
        """Forget everyone."""
        self._living.clear()

    async def ping(self) -> None:
        """Memory always works."""

    def opened(self, session: Session) -> None:
        self._living.opened(session)

    def closed(self, session_id: str) -> None:
        self._living.closed(session_id)

    def local_users(self) -> Sequence[str]:
        return self._living.users()

    async def sessions_of(self, users: Sequence[str]) -> Mapping[str, Session]:
        found = {user: self._living.of(user) for user in users}
        return {user: sessions[-1] for user, sessions in found.items() if sessions}

    async def users_by_server(self) -> Mapping[str, Sequence[str]]:
        users = self.local_users()
        return {self._server_id: users} if users else {}

    def figures(self) -> Sequence[Figure]:
        return [Figure("stompgate_sessions_living", "Sessions of this server that live.", len(self._living))]


def from_url(url: str, *, server_id: str, **_others: object) -> MemorySessions:
    """Return what ``memory:`` means, not opened yet. Raises ``SetupError`` if the URL says more than that."""
    if url != "memory:":
        raise SetupError("sessions: expected memory: with nothing behind it")
    return MemorySessions(server_id)
