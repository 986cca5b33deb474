"""The JSON of chat messages, in and out, exactly as existing clients know it. It decides nothing about who may send."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

import orjson

from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage
from stompgate.model.records import ChatRecord, ForeignRecord

_BEYOND_US = 253_370_764_800_000_000
"""Microseconds from 1970 to the year 9999: what comes later has no timestamp in every zone."""


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


class NotARecord(Exception):
    """What the relay brought is no record. The text says in which way, without quoting it."""


def read_record(value: bytes, place: str) -> ChatRecord | ForeignRecord:
    """Read a record of the topic ``chat``. Raises ``NotARecord``.

    One with an ``epoch`` is ours and must be whole. One without needs only ``roomUUID``, ``sender`` and ``content``, as other
    programs write it; its id is made of its ``place`` in the relay.
    """
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise NotARecord("no JSON") from error
    if type(fields) is not dict:
        raise NotARecord("no JSON object")
    get = fields.get
    room, sender, content, epoch = get("roomUUID"), get("sender"), get("content"), get("epoch")
    if type(room) is not str or type(sender) is not str or type(content) is not str or not room:
        raise NotARecord("roomUUID, sender or content is no text")
    if epoch is None:
        timestamp = get("timestamp")
        return ForeignRecord(place, room, sender, content, timestamp if type(timestamp) is str else None)
    message_id, seq, version, sent_at_us = get("id"), get("seq"), get("membersVersion"), get("sentAtUs")
    if type(message_id) is not str or type(epoch) is not str or not message_id:
        raise NotARecord("id or epoch is no text")
    if type(seq) is not int or type(version) is not int or type(sent_at_us) is not int:
        raise NotARecord("seq, membersVersion or sentAtUs is no number")
    if not 0 <= sent_at_us < _BEYOND_US:
        raise NotARecord("sentAtUs is no time that can be shown")
    return ChatRecord(ChatMessage(message_id, room, seq, sender, content, sent_at_us, epoch, version))


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

    def record(self, message: ChatMessage) -> bytes:
        """The record of the topic ``chat``: the body's fields, then what only our own servers read."""
        fields = self._fields(message)
        fields["epoch"] = message.epoch
        fields["membersVersion"] = message.members_version
        fields["sentAtUs"] = message.sent_at_us  # the timestamp is local and may be ambiguous
        return orjson.dumps(fields)

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
