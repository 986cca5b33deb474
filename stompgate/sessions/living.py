"""The living sessions of this server, by id and by user. It knows nothing of other servers, and keeps nothing of who left."""

from __future__ import annotations

from collections.abc import Sequence

from stompgate.model.sessions import Session


class Living:
    """Sessions in the order in which they were opened."""

    __slots__ = ("_by_id", "_by_user")

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._by_user: dict[str, dict[str, Session]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def opened(self, session: Session) -> None:
        """Add one."""
        self._by_id[session.id] = session
        self._by_user.setdefault(session.user, {})[session.id] = session

    def closed(self, session_id: str) -> str | None:
        """Take one away and return its user; None if it is not there."""
        session = self._by_id.pop(session_id, None)
        if session is None:
            return None
        sessions = self._by_user[session.user]
        del sessions[session_id]
        if not sessions:
            del self._by_user[session.user]
        return session.user

    def clear(self) -> None:
        """Forget everyone."""
        self._by_id.clear()
        self._by_user.clear()

    def users(self) -> Sequence[str]:
        """Each user once, in the order of their oldest sessions."""
        return list(dict.fromkeys(session.user for session in self._by_id.values()))

    def of(self, user: str) -> Sequence[Session]:
        """A user's sessions, the newest last; none if the user is not there."""
        return list(self._by_user.get(user, {}).values())
