"""The JSON objects of the operator's paths: what is answered, and what is taken."""

from __future__ import annotations

from typing import Any, NotRequired, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict


class ConnectionObject(TypedDict):
    user: str | None
    sessionId: str | None
    transport: str
    stompVersion: str
    address: str
    connectedAt: str
    connectedForS: float
    subscriptions: int
    framesIn: int
    delivered: int
    waitingBytes: int
    inFlight: int


class ConnectionsObject(TypedDict):
    serverId: str
    total: int
    sessions: list[ConnectionObject]


class RoomSummaryObject(TypedDict):
    id: int
    roomUUID: str
    productName: str
    buyer: str
    seller: str
    lastSeq: int
    createdAt: str
    subscribersHere: int


class RoomsObject(TypedDict):
    rooms: list[RoomSummaryObject]
    before: int | None


class SentObject(TypedDict):
    id: str
    seq: int
    position: str
    repeated: bool


class PublishedObject(TypedDict):
    destination: str


class EndObject(TypedDict):
    code: str
    title: str


class TailLine(TypedDict):
    """A message as its MESSAGE has it; or, at the end of what is followed, ``end`` alone."""

    roomUUID: NotRequired[str]
    sender: NotRequired[str]
    content: NotRequired[str]
    timestamp: NotRequired[str]
    id: NotRequired[str]
    seq: NotRequired[int]
    end: NotRequired[EndObject]


class DrainObject(TypedDict):
    drainingSince: str
    connections: int


class _Taken(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RoomMessage(_Taken):
    """What is sent to a room."""

    sender: str = Field(min_length=1, max_length=255, description="A member of the room.")
    content: str
    client_message_id: str | None = Field(
        default=None, alias="clientMessageId", description="Makes sending again safe, as the header of a SEND does."
    )


class Publication(_Taken):
    """What is sent to a destination that is no room."""

    destination: str = Field(description="Below /topic/, /queue/ or /sub/, or /user/{name}/queue/…")
    body: str
    headers: dict[str, str] = Field(default_factory=dict, description="Headers of the MESSAGE beside the server's own.")


_TakenT = TypeVar("_TakenT", bound=_Taken)


def read_as(model: type[_TakenT], body: bytes) -> _TakenT:
    """Read a body. Raises ``RequestValidationError`` naming what is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in items]) from error


def taken(model: type[_Taken]) -> dict[str, Any]:
    """How the document describes such a body, which is read by hand to keep its size within bounds."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}
