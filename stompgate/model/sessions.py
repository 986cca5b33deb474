"""Who is connected: the identity of a session and the session itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a session or request is. ``user`` is None for a session without identity (allowed by setting only)."""

    user: str | None


ANONYMOUS = Identity(None)


@dataclass(frozen=True, slots=True)
class Session:
    """A connected user's session, as presence shows it. Times: microseconds since 1970, UTC."""

    id: str
    user: str
    server_id: str
    server_host: str
    server_port: int
    connected_at_us: int
    last_active_at_us: int

    @property
    def server_url(self) -> str:
        host = f"[{self.server_host}]" if ":" in self.server_host else self.server_host
        return f"ws://{host}:{self.server_port}/ws-stomp"
