"""The operator's paths: look into the running server, send, and have it go down. Who may come in is ``guard``'s to decide.

Everything is bounded: lists in number, bodies in bytes, a tail in what waits for its reader.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated

import orjson
import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.background import BackgroundTask

from stompgate.chat.wire import Wire
from stompgate.gateway.operating import Connection, Operating
from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage
from stompgate.model.rooms import RoomSummary

from .answers import json_answer
from .debug import everyone
from .objects import PROBLEMS, SessionsObject
from .operator_objects import (
    ConnectionObject,
    ConnectionsObject,
    DrainObject,
    Publication,
    PublishedObject,
    RoomMessage,
    RoomsObject,
    RoomSummaryObject,
    SentObject,
    TailLine,
    read_as,
    taken,
)
from .parts import HttpParts, HttpSettings
from .requests import OPERATOR_PREFIX, read_body
from .rooms import Room
from .tail import NDJSON, TailAnswer, TailLink

LIST_LIMIT = 1000
ROOM_ID_LIMIT = 2**63 - 1
NO_SUCH_ROOM = "There is no such room."

Limit = Annotated[int, Query(ge=1, le=LIST_LIMIT, description="How many are listed at most.")]
User = Annotated[str | None, Query(description="Only those of this user.")]

_log = structlog.get_logger(__name__)


def operator_routes(parts: HttpParts, settings: HttpSettings, guard: Sequence[Callable[[Request], None]] = ()) -> APIRouter:
    """Return the routes below ``/operator``."""
    routes = APIRouter(
        prefix=OPERATOR_PREFIX, tags=["operators"], responses=PROBLEMS, dependencies=[Depends(check) for check in guard]
    )
    _looking(routes, parts)
    _rooms(routes, parts, settings)
    _acting(routes, parts, settings)
    return routes


def _looking(routes: APIRouter, parts: HttpParts) -> None:
    @routes.get("/sessions", response_model=ConnectionsObject, summary="Show this server's connections")
    async def sessions(user: User = None, limit: Limit = 100) -> Response:
        """The oldest first. `total` says how many there are, shown or not."""
        found, total = parts.operating.connections(user=user, limit=limit)
        shown = [_connection_object(connection, parts.wire) for connection in found]
        return json_answer({"serverId": parts.server_id, "total": total, "sessions": shown})

    @routes.get("/presence", response_model=SessionsObject, summary="Show who is connected to which server of the group")
    async def presence() -> Response:
        """As `/chat/debug/sessions`. While presence is away: this server's users only, and `"presence":"unknown"`."""
        return json_answer(await everyone(parts))


def _rooms(routes: APIRouter, parts: HttpParts, settings: HttpSettings) -> None:
    @routes.get("/rooms", response_model=RoomsObject, summary="List rooms")
    async def rooms(
        user: User = None,
        before: Annotated[int | None, Query(ge=0, le=ROOM_ID_LIMIT, description="Only rooms whose `id` is below this.")] = None,
        limit: Limit = 100,
    ) -> Response:
        """The newest first. The next older page is asked for with the `before` of this one; it is null at the end."""
        found = await parts.rooms.summaries(user=user, before=before, limit=limit)
        shown = [_room_object(summary, parts.operating, parts.wire) for summary in found]
        return json_answer({"rooms": shown, "before": found[-1].room.id if len(found) == limit else None})

    @routes.get(
        "/rooms/{roomUUID}/messages",
        response_class=Response,
        summary="Read the end of a room, and follow it",
        responses={200: {"model": TailLine, "content": {NDJSON: {}}, "description": "A JSON object a line."}},
    )
    async def messages(
        request: Request,
        room: Room,
        tail: Annotated[int, Query(ge=0, le=LIST_LIMIT, description="How many of the newest messages come first.")] = 20,
        follow: Annotated[bool, Query(description="Whether what comes from then on follows.")] = False,  # noqa: FBT002
    ) -> Response:
        """The newest messages, oldest first; with `follow` then each as it comes, in order, once.

        What is followed ends with a line `{"end":{"code","title"}}`: the room is gone, the server goes down, or the reader was
        too slow. One that ends without such a line was cut off.
        """
        if not follow:
            newest = await _page(parts, room, None, tail)
            return Response(_lines(newest, parts.wire), media_type=NDJSON)
        return await _followed(request, parts, settings, room, tail)

    @routes.post(
        "/rooms/{roomUUID}/messages",
        response_model=SentObject,
        summary="Send to a room as a member",
        openapi_extra=taken(RoomMessage),
    )
    async def send(request: Request, room: Room) -> Response:
        """Answers once the message is stored. With a `clientMessageId` that was stored before: that message, `repeated`."""
        given = read_as(RoomMessage, await read_body(request, settings.body_limit_bytes))
        body = orjson.dumps({"sender": given.sender, "content": given.content})
        stored = await parts.operating.send(room, given.sender, body, given.client_message_id)
        message = stored.message
        sent: SentObject = {
            "id": message.id,
            "seq": message.seq,
            "position": message.position,
            "repeated": stored.repeated,
        }
        return json_answer(sent)


def _acting(routes: APIRouter, parts: HttpParts, settings: HttpSettings) -> None:
    @routes.post(
        "/publish",
        response_model=PublishedObject,
        summary="Send to a destination that is no room",
        openapi_extra=taken(Publication),
    )
    async def publish(request: Request) -> Response:
        """Answers when it is accepted; for a queue, when it is stored."""
        given = read_as(Publication, await read_body(request, settings.body_limit_bytes))
        await parts.operating.publish(given.destination, given.headers, given.body.encode())
        published: PublishedObject = {"destination": given.destination}
        return json_answer(published)

    @routes.get("/drain", response_model=DrainObject, summary="Show how far the drain is")
    async def drain_state() -> Response:
        """`drainingSince` is empty while the server does not go down."""
        return json_answer(_drain_object(parts))

    @routes.post("/drain", status_code=202, response_model=DrainObject, summary="Have the server go down")
    async def drain() -> Response:
        """As SIGTERM does: connections are sent elsewhere at their pace, then it ends. Asking again changes nothing."""
        answer = json_answer(_drain_object(parts), 202)
        answer.background = BackgroundTask(_stop, parts.stop)
        return answer


async def _stop(stop: Callable[[], None]) -> None:
    _log.info("operator asked the server to go down")
    stop()  # on the event loop, after the answer


async def _followed(request: Request, parts: HttpParts, settings: HttpSettings, room: str, newest: int) -> Response:
    """Join first, then read what was before: so nothing falls between the two."""
    address = f"{request.client.host}:{request.client.port}" if request.client is not None else "local"
    link = TailLink(settings.tail_limit_bytes, parts.clock.monotonic, address)
    tail = parts.operating.follow(room, link)
    link.too_slow = lambda: tail.fail(Cause.SLOW_CONSUMER)
    try:
        seq = await tail.began()
        if seq is None:
            raise Refusal(Cause.NO_SUCH_ROOM, NO_SUCH_ROOM) if link.cause in (None, Cause.NO_SUCH_ROOM) else Refusal(link.cause)
        before = await _page(parts, room, seq + 1, newest)
    except BaseException:
        tail.lost()
        raise
    return TailAnswer(_chained(_lines(before, parts.wire), link.lines()), tail.lost)


async def _page(parts: HttpParts, room: str, before: int | None, limit: int) -> Sequence[ChatMessage]:
    """The newest messages below ``before``, whoever the room's members are. The room is looked for also if none are wanted."""
    try:
        return (await parts.history.page(room, None, before=before, limit=max(limit, 1)))[:limit]
    except Refusal as refusal:
        raise Refusal(refusal.cause, NO_SUCH_ROOM) from refusal


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _lines(page: Sequence[ChatMessage], wire: Wire) -> bytes:
    return b"".join([wire.message_body(message) + b"\n" for message in page])


def _connection_object(connection: Connection, wire: Wire) -> ConnectionObject:
    return {
        "user": connection.user,
        "sessionId": connection.session_id,
        "transport": connection.transport,
        "stompVersion": connection.version,
        "address": connection.address,
        "connectedAt": wire.timestamp(connection.connected_at_us),
        "connectedForS": connection.connected_s,
        "subscriptions": connection.subscriptions,
        "framesIn": connection.frames_in,
        "delivered": connection.delivered,
        "waitingBytes": connection.waiting_bytes,
        "inFlight": connection.in_flight,
    }


def _room_object(summary: RoomSummary, operating: Operating, wire: Wire) -> RoomSummaryObject:
    return {
        "id": summary.room.id,
        "roomUUID": summary.room.uuid,
        "productName": summary.room.product_name,
        "buyer": summary.buyer,
        "seller": summary.seller,
        "lastSeq": summary.last_seq,
        "createdAt": wire.timestamp(summary.created_at_us),
        "subscribersHere": operating.subscribers(summary.room.uuid),
    }


def _drain_object(parts: HttpParts) -> DrainObject:
    return {"drainingSince": parts.health.draining_since, "connections": parts.operating.connected}
