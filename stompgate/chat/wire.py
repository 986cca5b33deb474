"""The JSON of chat messages, in and out, exactly as existing clients know it. It decides nothing about who may send."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

import orjson

from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage
from stompgate.model.records import ForeignRecord


@dataclass(frozen=True, slots=True)
class Incoming:
    """The body of a SEND to a room. ``room`` and ``sender`` are None where the body leaves them to the connection."""

    room: str | None
    sender: str | None
    content: str


def read_incoming(body: bytes) -> Incoming:
    """Read ``{"roomUUID", "sender", "content"}``. Raises ``Refusal`` (BAD_BODY) saying what was expected."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(Cause.BAD_BODY, "The body must be a JSON object in UTF-8.", detail=str(error)) from error
    if not isinstance(fields, dict):
        raise Refusal(Cause.BAD_BODY, "The body must be a JSON object.")
    content = fields.get("content")
    if not isinstance(content, str) or not content:
        raise Refusal(Cause.BAD_BODY, 'The body must have "content", a text that is not empty.')
    return Incoming(_optional_text(fields, "roomUUID"), _optional_text(fields, "sender"), content)


def _optional_text(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise Refusal(Cause.BAD_BODY, f'"{name}" must be a text.')


class Wire:
    """Writes messages as JSON. ``zone`` is the time zone of the timestamps, None for the system's."""

    __slots__ = ("_second", "_second_text", "_zone")

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._second: int | None = None
        self._second_text = ""

    def timestamp(self, us: int) -> str:
        """Format microseconds since 1970 (UTC) as Java prints a LocalDateTime: a fraction only where there is one."""
        second, fraction = divmod(us, 1_000_000)
        if second != self._second:  # messages come many to a second
            self._second_text = datetime.fromtimestamp(second, self._zone).replace(tzinfo=None).isoformat()
            self._second = second
        return f"{self._second_text}.{fraction:06}".rstrip("0") if fraction else self._second_text

    def message_body(self, message: ChatMessage) -> bytes:
        """The body of a room's MESSAGE: ``{"roomUUID","sender","content","timestamp","id","seq"}``."""
        return orjson.dumps(self._fields(message))

    def history_entry(self, message: ChatMessage) -> bytes:
        """One entry of a history: the body's fields, then ``position``."""
        return orjson.dumps({**self._fields(message), "position": message.position})

    def foreign_body(self, record: ForeignRecord) -> bytes:
        """The body of the MESSAGE for a record of another program: the old four fields, nothing of ours."""
        fields = {"roomUUID": record.room, "sender": record.sender, "content": record.content, "timestamp": record.timestamp}
        return orjson.dumps(fields)

    def _fields(self, message: ChatMessage) -> dict[str, object]:
        return {
            "roomUUID": message.room,
            "sender": message.sender,
            "content": message.content,
            "timestamp": self.timestamp(message.sent_at_us),
            "id": message.id,
            "seq": message.seq,
        }
