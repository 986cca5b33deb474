"""How answers are written: content types to the letter, JSON as it was put together, long answers in pieces."""

from __future__ import annotations

from asyncio import timeout
from collections.abc import AsyncIterator

import orjson
from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

JSON = "application/json"
TEXT = "text/plain;charset=UTF-8"


def json_answer(value: object, status: int = 200) -> Response:
    """Return ``value`` as JSON, exactly in the order of its keys."""
    return Response(orjson.dumps(value), status, media_type=JSON)


def text_answer(text: str) -> Response:
    """Return a plain text, as existing clients compare it."""
    return Response(text, media_type=TEXT)


class StreamedAnswer(StreamingResponse):
    """JSON that is sent while it is read. A reader who takes longer than ``send_timeout_s`` over a piece is cut off."""

    def __init__(self, pieces: AsyncIterator[bytes], send_timeout_s: float) -> None:
        super().__init__(pieces, media_type=JSON)
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with timeout(self._send_timeout_s):
                await send(message)

        await super().__call__(scope, receive, send_in_time)
