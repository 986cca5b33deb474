"""Who is connected where, for operators, in the shapes that existing tools read. Presence may lag; it is never guessed.

While presence is away, what this server knows by itself is still answered, and ``presence`` says ``"unknown"``.
"""

from typing import Any

from fastapi import APIRouter, Depends, Response

from stompgate.model.causes import Cause, Refusal
from stompgate.ports.part import PartDown

from .answers import json_answer
from .objects import PROBLEMS, SessionObject, SessionsObject, StatusObject, UserSessionObject, session_object
from .parts import HttpParts, HttpSettings
from .requests import operators_only

USERS_SHOWN = 1000


def debug_routes(parts: HttpParts, settings: HttpSettings) -> APIRouter:
    """Return the routes below ``/chat/debug``."""
    routes = APIRouter(
        prefix="/chat/debug", tags=["operators"], responses=PROBLEMS, dependencies=[Depends(operators_only(settings))]
    )
    sessions, wire, clock = parts.sessions, parts.wire, parts.clock

    @routes.get("/sessions", response_model=SessionsObject, summary="Show who is connected to which server")
    async def all_sessions() -> Response:
        """While presence is away: this server's users only, and `"presence":"unknown"`."""
        here = list(sessions.local_users())
        known: dict[str, Any] = {}
        try:
            by_server = {server: list(users) for server, users in (await sessions.users_by_server()).items()}
            details = await _details(by_server)
        except PartDown:
            by_server, details, known = {}, {}, {"presence": "unknown"}
        answer: SessionsObject = {
            "currentServerId": parts.server_id,
            "currentServerUsers": here,
            "userDetails": details,
            "serverUsers": by_server,
            "timestamp": wire.timestamp(clock.utc_us()),
        }
        return json_answer({**answer, **known})

    async def _details(by_server: dict[str, list[str]]) -> dict[str, SessionObject]:
        users = list(dict.fromkeys(user for users in by_server.values() for user in users))
        details: dict[str, SessionObject] = {}
        for user in users[:USERS_SHOWN]:
            session = await sessions.session_of(user)
            if session is not None:  # gone since the list was read
                details[user] = session_object(session, wire)
        return details

    @routes.get("/sessions/{userId}", response_model=UserSessionObject | dict[str, str], summary="Show a user's session")
    async def one_session(userId: str) -> Response:  # noqa: N803 the contract's name, shown in the document
        """The newest living session on any server; `{"error":"User session not found"}` without one."""
        try:
            session = await sessions.session_of(userId)
        except PartDown as error:
            raise Refusal(Cause.OVERLOADED, "Presence is unknown at the moment.", detail=str(error)) from error
        if session is None:
            return json_answer({"error": "User session not found"})
        answer: UserSessionObject = {
            "sessionInfo": session_object(session, wire),
            "isOnThisServer": session.server_id == parts.server_id,
            "serverUrl": session.server_url,
        }
        return json_answer(answer)

    @routes.get("/server-status", response_model=StatusObject, summary="Show this server's users")
    async def server_status() -> Response:
        """The users connected to this server."""
        answer: StatusObject = {
            "activeUsers": list(sessions.local_users()),
            "serverId": parts.server_id,
            "timestamp": wire.timestamp(clock.utc_us()),
        }
        return json_answer(answer)

    return routes
