"""The paths of messages: a room's history, whole or in pages. A history that breaks off is never valid JSON."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse

from stompgate.chat.wire import Wire
from stompgate.model.messages import ChatMessage

from .answers import JSON, StreamedAnswer, text_answer
from .objects import PROBLEMS, MessageObject
from .parts import HttpParts, HttpSettings
from .requests import auth_user
from .rooms import Room

PAGE_LIMIT_MESSAGES = 1000
SEQ_LIMIT = 2**63 - 1


def chat_routes(parts: HttpParts, settings: HttpSettings) -> APIRouter:
    """Return the routes below ``/chat`` but for the operators' ones."""
    routes = APIRouter(prefix="/chat", tags=["messages"], responses=PROBLEMS)
    history, wire = parts.history, parts.wire
    reader = auth_user if settings.history_needs_user else _no_one

    @routes.get("/room/{roomUUID}", response_model=list[MessageObject], summary="Read a room's history")
    async def room_history(
        room: Room,
        user: Annotated[str | None, Depends(reader)],
        limit: Annotated[int | None, Query(ge=1, le=PAGE_LIMIT_MESSAGES, description="Size of a page, in messages.")] = None,
        before: Annotated[
            int | None, Query(ge=-SEQ_LIMIT, le=SEQ_LIMIT, description="Only messages whose `seq` is below this.")
        ] = None,
    ) -> Response:
        """Oldest first. Without `limit` and `before`: all of it, streamed. With one of them: the newest that fit.

        The next older page is asked for with `before` = the smallest `seq` of this one.
        """
        if limit is None and before is None:
            pages = history.whole(room, user)
            first = await anext(pages)  # what is refused is refused before the answer begins
            return StreamedAnswer(_json_array(first, pages, wire), settings.send_timeout_s)
        page = await history.page(room, user, before=before, limit=limit or settings.page_messages)
        return Response(b"[" + _entries(page, wire) + b"]", media_type=JSON)

    @routes.get("/test", response_class=PlainTextResponse, summary="Test the way to the server")
    async def test() -> Response:
        """Answers the text `test response`."""
        return text_answer("test response")

    return routes


async def _no_one(request: Request) -> None:
    """Where the history is open, nobody is asked for."""


async def _json_array(
    first: Sequence[ChatMessage], rest: AsyncIterator[Sequence[ChatMessage]], wire: Wire
) -> AsyncIterator[bytes]:
    # An error in the middle leaves the array open and ends the connection: the reader cannot take the part for the whole.
    yield b"[" + _entries(first, wire)
    async for page in rest:
        if page:
            yield b"," + _entries(page, wire)
    yield b"]"


def _entries(page: Sequence[ChatMessage], wire: Wire) -> bytes:
    return b",".join([wire.history_entry(message) for message in page])
