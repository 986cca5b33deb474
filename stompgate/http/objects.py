"""The JSON objects of the contract: one type each, for building them and for the OpenAPI document alike.

Names and their order are the clients'; nothing here may be renamed or left out.
"""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from stompgate.chat.session_wire import SessionObject
from stompgate.model.causes import Cause
from stompgate.model.rooms import RoomUser


class RoomObject(TypedDict):
    id: int
    roomUUID: str
    productName: str
    chatList: list[Any] | None
    roomUserList: list[Any] | None


class RoomUserObject(TypedDict):
    id: int
    room: RoomObject
    user: str
    other: str


class MessageObject(TypedDict):
    roomUUID: str
    sender: str
    content: str
    timestamp: str
    id: str
    seq: int
    position: str


class SessionsObject(TypedDict):
    currentServerId: str
    currentServerUsers: list[str]
    userDetails: dict[str, SessionObject]
    serverUsers: dict[str, list[str]]
    timestamp: str
    presence: NotRequired[str]


class UserSessionObject(TypedDict):
    sessionInfo: SessionObject
    isOnThisServer: bool
    serverUrl: str


class UnknownSessionObject(TypedDict):
    presence: str
    isOnThisServer: bool


class NoSessionObject(TypedDict):
    error: str


class StatusObject(TypedDict):
    activeUsers: list[str]
    serverId: str
    timestamp: str


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "example": f"urn:stompgate:problem:{Cause.NO_SUCH_ROOM.code}"},
        "title": {"type": "string", "example": Cause.NO_SUCH_ROOM.text},
        "status": {"type": "integer", "example": Cause.NO_SUCH_ROOM.http_status},
        "detail": {"type": "string", "description": "What was expected, in words for people."},
        "code": {"type": "string", "description": "Stable; for programs.", "enum": sorted(cause.code for cause in Cause)},
        "errors": {
            "type": "array",
            "description": "The fields at fault, where there are such.",
            "items": {"type": "object", "properties": {"field": {"type": "string"}, "expected": {"type": "string"}}},
        },
    },
}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Refused: a problem document (RFC 9457).",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def room_user_object(row: RoomUser) -> RoomUserObject:
    """Return a member's row as clients know it."""
    room = row.room
    return {
        "id": row.id,
        "room": {"id": room.id, "roomUUID": room.uuid, "productName": room.product_name, "chatList": [], "roomUserList": []},
        "user": row.user,
        "other": row.other,
    }


def created_room_user_object(row: RoomUser) -> RoomUserObject:
    """Return a member's row as the answer to create shows it: the two lists are null there."""
    fresh = room_user_object(row)
    fresh["room"]["chatList"] = fresh["room"]["roomUserList"] = None
    return fresh
