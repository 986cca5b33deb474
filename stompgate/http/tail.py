"""A room's tail as an answer: a line of JSON for each message, while it lasts; the last line says why it ended.

The gateway gives, the reader takes at its own pace, and what waits between them is bounded. It decides nothing about who may.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import orjson
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from stompgate.model.causes import Cause

NDJSON: Final = "application/x-ndjson"

_HIGH_WATER_BYTES: Final = 64 * 1024
"""Above this a catch-up waits."""


class LineFraming:
    """A line for each MESSAGE: its body, which is JSON on one line. What is no MESSAGE is said by the close, or not at all."""

    __slots__ = ()

    def wrap(self, frame: bytes, *, is_text: bool) -> bytes:  # noqa: ARG002 (here it makes no difference)
        """Return the line, or nothing."""
        if not frame.startswith(b"MESSAGE\n"):
            return b""
        return frame[frame.index(b"\n\n") + 2 : -1] + b"\n"


FRAMING: Final = LineFraming()


class TailLink:
    """The gateway's ``Link`` and outbox of one tail. ``too_slow`` is called once, when more waits than ``limit_bytes``."""

    transport: Final = "operator"
    framing: Final = FRAMING

    def __init__(self, limit_bytes: int, now_s: Callable[[], float], address: str) -> None:
        self._limit_bytes = limit_bytes
        self._now_s = now_s
        self._address = address
        self._waiting: list[bytes] = []
        self._more = asyncio.Event()
        self._relief: asyncio.Future[None] | None = None
        self.waiting_bytes = self.sent_bytes = self.messages = 0
        self.close_code: int | None = None
        self.last_sent_s = self.last_received_s = now_s()
        self.cause: Cause | None = None
        self.too_slow: Callable[[], None] | None = None

    # The gateway's side

    @property
    def outbox(self) -> TailLink:
        """What waits for the reader."""
        return self

    def offer(self, data: bytes) -> None:
        """Let a line wait. Past the limit the reader is too slow."""
        if not data or self.cause is not None:
            return
        self._waiting.append(data)
        self.messages += 1
        self.waiting_bytes += len(data)
        self._more.set()
        if self.waiting_bytes > self._limit_bytes and self.too_slow is not None:
            too_slow, self.too_slow = self.too_slow, None
            # Not now: whoever offers may be in the middle of a fan-out.
            asyncio.get_running_loop().call_soon(too_slow)

    def offer_other(self, data: bytes) -> None:
        """What is no message has no line."""

    @property
    def is_blocked(self) -> bool:
        """Whether much waits for the reader."""
        return self.waiting_bytes > _HIGH_WATER_BYTES and self.cause is None

    def drained(self) -> Awaitable[None] | None:
        """None if the reader keeps up, else an awaitable that ends when it has taken what waits, or never will."""
        if not self.is_blocked:
            return None
        if self._relief is None:
            self._relief = asyncio.get_running_loop().create_future()
        return asyncio.shield(self._relief)

    def close(self, cause: Cause) -> None:
        """Let the reader have what waits, then the line that says why it ends."""
        if self.cause is None:
            self.cause = cause
            self._waiting.append(orjson.dumps({"end": {"code": cause.code, "title": cause.text}}) + b"\n")
            self._more.set()
            self._relieve()

    def admit(self) -> None:
        """Nothing is read from a tail."""

    def pause_reading(self) -> None:
        """Nothing is read from a tail."""

    def resume_reading(self) -> None:
        """Nothing is read from a tail."""

    def describe(self) -> str:
        """Who reads, for the log."""
        return self._address

    # The reader's side

    async def lines(self) -> AsyncIterator[bytes]:
        """What comes, as many lines at a time as wait, until the last one."""
        while True:
            await self._more.wait()
            self._more.clear()
            data, self.waiting_bytes = b"".join(self._waiting), 0
            self._waiting.clear()
            self.sent_bytes += len(data)
            self._relieve()
            self.last_sent_s = self._now_s()
            yield data
            if self.cause is not None and not self._waiting:
                return

    def _relieve(self) -> None:
        if self._relief is not None:
            self._relief.set_result(None)
            self._relief = None


class TailAnswer(StreamingResponse):
    """Lines as they come. ``over`` is called when nobody takes them any more, whoever ended it."""

    def __init__(self, lines: AsyncIterator[bytes], over: Callable[[], None]) -> None:
        super().__init__(lines, media_type=NDJSON)
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()
