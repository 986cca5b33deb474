"""The HTTP side of the port: uvicorn's protocol classes around the application, without uvicorn's own server.

Uvicorn sets no limits to a peer that sends or reads slowly, so every connection is looked at once a second: none may keep
a request or an answer waiting for ever, or send a head without end.
"""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.server import ServerState

from .http_protocols import DEPARTURE, Departure, HeadLimited, HeadLimits, Http10

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_STOP_S: Final = 5.0
_ABORT_S: Final = 1.0


@dataclass(slots=True)
class _Seen:
    """What a connection was last seen to wait for, and since when."""

    waits_for: object
    since_s: float


class HttpSide:
    """Makes protocols for HTTP connections and watches over them. ``patience_s``: how long a peer may keep us waiting.

    ``door`` makes the protocol that a connection is handed back to when a later request of it asks for a WebSocket; without one
    that is answered as if it had asked for the page.
    """

    def __init__(self, app: ASGIApp, now_s: Callable[[], float], *, patience_s: float, head: HeadLimits) -> None:
        # Who calls is decided by the connection alone: forwarded addresses would be believed from any local process.
        self._config = uvicorn.Config(
            app, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False, proxy_headers=False
        )
        self._config.load()
        self._state = ServerState()
        self._now_s = now_s
        self._patience_s = patience_s
        self._head_limits = head
        self._seen: dict[Any, _Seen] = {}
        self.door: Callable[[], asyncio.Protocol] | None = None

    def protocol_for(self, head: bytes) -> asyncio.Protocol:
        """A protocol for a connection that begins with this head. HTTP/1.0 needs the one that sends it no chunks."""
        if head.partition(b"\r\n")[0].endswith(b"HTTP/1.0"):
            return Http10(config=self._config, server_state=self._state, app_state={DEPARTURE: Departure()})
        protocol = HeadLimited(config=self._config, server_state=self._state, app_state={DEPARTURE: Departure()})
        protocol.limits = self._head_limits
        protocol.door = self.door
        return protocol

    @property
    def connected(self) -> int:
        """How many HTTP connections there are now."""
        return len(self._state.connections)

    def tick(self) -> None:
        """Bring the Date header up to date and look after the connections; once a second."""
        self._state.default_headers = [(b"date", email.utils.formatdate(usegmt=True).encode())]
        now_s = self._now_s()
        seen, self._seen = self._seen, {}
        for connection in list(self._state.connections):
            waits_for = _peer_owes(connection)
            if waits_for is None:
                continue
            last = seen.get(connection)
            if last is None or last.waits_for != waits_for:
                last = _Seen(waits_for, now_s)
            self._seen[connection] = last
            if now_s - last.since_s > self._patience_s:
                connection.transport.abort()

    async def close(self) -> None:
        """Let requests in progress end, for a bounded time, and close what idles."""
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._finish(_STOP_S)
        for connection in list(self._state.connections):
            connection.transport.abort()  # which tells the application, too
        await self._finish(_ABORT_S)

    async def _finish(self, within_s: float) -> None:
        tasks = list(self._state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)


def _peer_owes(connection: Any) -> object | None:
    """What a connection waits for that only the peer can do, as something to compare; None if it waits for nothing."""
    cycle = connection.cycle
    if cycle is None or cycle.response_complete or cycle.more_body:
        return id(cycle), "to send"
    left_bytes = connection.transport.get_write_buffer_size()
    return (id(cycle), left_bytes) if left_bytes else None
