"""One connection in memory: the ``Link`` that a peer holds, and the client's end of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from stompgate.model.causes import Cause

if TYPE_CHECKING:
    from stompgate.gateway.peer import Peer

    from .server import SimulatedServer


class Plain:
    """Frames as they are."""

    def wrap(self, frame: bytes, *, is_text: bool) -> bytes:
        return frame


PLAIN = Plain()


class SimulatedOutbox:
    """What the client has not read yet. It is full from ``limit_bytes`` on; nothing is ever dropped."""

    def __init__(self, server: SimulatedServer, limit_bytes: int) -> None:
        self._server = server
        self._limit_bytes = limit_bytes
        self._relief: asyncio.Future[None] | None = None
        self.messages = self.sent_bytes = 0
        self.pending: list[bytes] = []
        self.last_sent_s = server.clock.monotonic()

    @property
    def waiting_bytes(self) -> int:
        return sum(map(len, self.pending))

    def offer(self, data: bytes) -> None:
        self.messages += 1
        self.offer_other(data)

    def offer_other(self, data: bytes) -> None:
        self.pending.append(data)
        self.last_sent_s = self._server.clock.monotonic()

    @property
    def is_blocked(self) -> bool:
        return self.waiting_bytes >= self._limit_bytes

    def drained(self) -> Awaitable[None] | None:
        if not self.is_blocked:
            return None
        if self._relief is None:
            self._relief = self._server.loop.create_future()
        return asyncio.shield(self._relief)

    def take(self, count: int) -> list[bytes]:
        """What the client reads: ``count`` frames."""
        taken, self.pending[:count] = self.pending[:count], []
        if self.waiting_bytes < self._limit_bytes:
            self.relieve()
        return taken

    def relieve(self) -> None:
        relief, self._relief = self._relief, None
        if relief is not None and not self._server.loop.is_dead:
            relief.set_result(None)


class SimulatedLink:
    """``gateway.link.Link``. What the server closed is gone when the world says so."""

    def __init__(self, server: SimulatedServer, limit_bytes: int) -> None:
        self.transport = "simulated"
        self.framing = PLAIN
        self.outbox = SimulatedOutbox(server, limit_bytes)
        self.close_code: int | None = None
        self.closing: Cause | None = None
        self.is_gone = False
        self._server = server
        self._is_paused = False
        self._unread: list[bytes] = []
        with server.loop.entered():
            self.peer: Peer = server.gate.attach(self)

    @property
    def last_received_s(self) -> float:
        return self._server.clock.monotonic()

    def close(self, cause: Cause) -> None:
        self.closing = self.closing or cause

    def admit(self) -> None:
        pass

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self._server.loop.call_soon(self._read)

    def describe(self) -> str:
        return "simulated"

    def receive(self, data: bytes) -> None:
        """The client sends."""
        self._unread.append(data)
        with self._server.loop.entered():
            self._read()

    def end(self, cause: Cause) -> None:
        """The connection is gone, from whichever side."""
        if self.is_gone:
            return
        self.is_gone = True
        self.outbox.relieve()
        if not self._server.loop.is_dead:
            with self._server.loop.entered():
                self.peer.lost(cause)

    def _read(self) -> None:
        while self._unread and not self._is_paused and not self.is_gone:
            self.peer.receive_bytes(self._unread.pop(0))
