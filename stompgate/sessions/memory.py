"""Presence of a server that runs alone: what it knows itself is all there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stompgate.model.sessions import Session
from stompgate.ports.part import SetupError


class MemorySessions:
    """``ports.sessions.Sessions`` for the one server ``server_id``."""

    def __init__(self, server_id: str) -> None:
        self._server_id = server_id
        self._sessions: dict[str, Session] = {}
        self._ids_by_user: dict[str, dict[str, None]] = {}

    async def open(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Forget everyone."""
        self._sessions.clear()
        self._ids_by_user.clear()

    async def ping(self) -> None:
        """Memory always works."""

    def opened(self, session: Session) -> None:
        self._sessions[session.id] = session
        self._ids_by_user.setdefault(session.user, {})[session.id] = None

    def closed(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        ids = self._ids_by_user[session.user]
        del ids[session_id]
        if not ids:
            del self._ids_by_user[session.user]

    def local_users(self) -> Sequence[str]:
        return list(dict.fromkeys(session.user for session in self._sessions.values()))

    async def session_of(self, user: str) -> Session | None:
        ids = self._ids_by_user.get(user)
        return self._sessions[next(reversed(ids))] if ids else None

    async def users_by_server(self) -> Mapping[str, Sequence[str]]:
        users = self.local_users()
        return {self._server_id: users} if users else {}


def from_url(url: str, *, server_id: str, **_others: object) -> MemorySessions:
    """Return what ``memory:`` means, not opened yet. Raises ``SetupError`` if the URL says more than that."""
    if url != "memory:":
        raise SetupError("sessions: expected memory: with nothing behind it")
    return MemorySessions(server_id)
