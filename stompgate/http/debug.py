"""Who is connected where, for operators, in the shapes that existing tools read. Presence may lag; it is never guessed.

While presence is away, what this server knows by itself is still answered, and ``presence`` says ``"unknown"``.
"""

from fastapi import APIRouter, Depends, Response

from stompgate.chat.session_wire import session_object
from stompgate.ports.part import PartDown

from .answers import json_answer
from .objects import PROBLEMS, NoSessionObject, SessionsObject, StatusObject, UnknownSessionObject, UserSessionObject
from .parts import HttpParts, HttpSettings
from .requests import operators_only

USERS_SHOWN = 1000
"""Users of whom the answer about everyone shows the session; their names are all there."""

UNKNOWN = "unknown"


def debug_routes(parts: HttpParts, settings: HttpSettings) -> APIRouter:
    """Return the routes below ``/chat/debug``."""
    routes = APIRouter(
        prefix="/chat/debug", tags=["operators"], responses=PROBLEMS, dependencies=[Depends(operators_only(settings))]
    )

    @routes.get("/sessions", response_model=SessionsObject, summary="Show who is connected to which server")
    async def all_sessions() -> Response:
        """While presence is away: this server's users only, and `"presence":"unknown"`."""
        return json_answer(await everyone(parts))

    @routes.get(
        "/sessions/{userId}",
        response_model=UserSessionObject | UnknownSessionObject | NoSessionObject,
        summary="Show a user's session",
    )
    async def one_session(userId: str) -> Response:  # noqa: N803 the contract's name, shown in the document
        """The newest living session on any server; `{"error":"User session not found"}` without one.

        While presence is away: `"presence":"unknown"`, and whether this server has one.
        """
        return json_answer(await _one(parts, userId))

    @routes.get("/server-status", response_model=StatusObject, summary="Show this server's users")
    async def server_status() -> Response:
        """The users connected to this server."""
        answer: StatusObject = {
            "activeUsers": list(parts.sessions.local_users()),
            "serverId": parts.server_id,
            "timestamp": parts.wire.timestamp(parts.clock.utc_us()),
        }
        return json_answer(answer)

    return routes


async def everyone(parts: HttpParts) -> SessionsObject:
    """Who is connected to which server."""
    answer: SessionsObject = {
        "currentServerId": parts.server_id,
        "currentServerUsers": list(parts.sessions.local_users()),
        "userDetails": {},
        "serverUsers": {},
        "timestamp": parts.wire.timestamp(parts.clock.utc_us()),
    }
    try:
        by_server = {server: list(users) for server, users in (await parts.sessions.users_by_server()).items()}
        shown = list(dict.fromkeys(user for users in by_server.values() for user in users))[:USERS_SHOWN]
        # Who left since the names were read has no session.
        details = {user: session_object(found, parts.wire) for user, found in (await parts.sessions.sessions_of(shown)).items()}
    except PartDown:
        return {**answer, "presence": UNKNOWN}
    return {**answer, "userDetails": details, "serverUsers": by_server}


async def _one(parts: HttpParts, user: str) -> UserSessionObject | UnknownSessionObject | NoSessionObject:
    try:
        session = (await parts.sessions.sessions_of([user])).get(user)
    except PartDown:
        return {"presence": UNKNOWN, "isOnThisServer": user in parts.sessions.local_users()}
    if session is None:
        return {"error": "User session not found"}
    return {
        "sessionInfo": session_object(session, parts.wire),
        "isOnThisServer": session.server_id == parts.server_id,
        "serverUrl": session.server_url,
    }
