"""Records as Kafka carries them: the topic ``chat`` as other programs know it, and a topic of our own with a format version.

A record on our own topic is one line of JSON, then, for a message, its body byte for byte. ``v`` is the version of the
format: what bears another one is for servers of another time, and is passed over.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Final

import orjson

from stompgate.chat.wire import NotARecord, Wire, read_record
from stompgate.model.records import BrokerRecord, ChatRecord, ForeignRecord, QueueHint, Record, RoomChanged

VERSION: Final = 1


class Lane(Enum):
    """Which topic a record goes by."""

    CHAT = auto()
    OWN = auto()


class OtherFormat(Exception):
    """A record of a version or kind that this program does not know."""


def encode(record: Record, wire: Wire) -> tuple[Lane, bytes, bytes]:
    """Return the topic, key and value of a record. Raises ``ValueError`` or ``TypeError`` for one that can't be written."""
    match record:
        case ChatRecord(message):
            return Lane.CHAT, message.room.encode(), wire.record(message)
        case BrokerRecord():
            return Lane.OWN, record.destination.encode(), _message(record)
        case RoomChanged():
            return Lane.OWN, record.room.encode(), _room(record)
        case QueueHint(queue, origin):
            return Lane.OWN, queue.encode(), orjson.dumps({"v": VERSION, "kind": "queue", "queue": queue, "origin": origin})
        case ForeignRecord():
            raise ValueError("a record of another program is in the relay already")


def decode_chat(value: bytes, topic: str, partition: int, offset: int) -> Record:
    """Read a record of the topic ``chat``. Raises ``NotARecord``."""
    return read_record(value, f"{topic}-{partition}-{offset}")


def decode_own(value: bytes, partition: int) -> Record:
    """Read a record of our own topic. Raises ``NotARecord`` or ``OtherFormat``."""
    line, _, body = value.partition(b"\n")
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise NotARecord("no line of JSON") from error
    if type(fields) is not dict:
        raise NotARecord("no JSON object")
    version, kind = fields.get("v"), fields.get("kind")
    if type(version) is not int:
        raise NotARecord("no format version")
    if version == VERSION:
        match kind:
            case "message":
                return _read_message(fields, body, partition)
            case "room":
                return _read_room(fields)
            case "queue":
                return _read_hint(fields)
    raise OtherFormat(f"version {version}, kind {kind!r}")


def _message(record: BrokerRecord) -> bytes:
    fields = {
        "v": VERSION,
        "kind": "message",
        "origin": record.origin,
        "counter": record.counter,
        "id": record.id,
        "destination": record.destination,
        "headers": record.headers,
    }
    return orjson.dumps(fields) + b"\n" + record.body


def _read_message(fields: dict[str, Any], body: bytes, partition: int) -> BrokerRecord:
    headers = fields.get("headers")
    if type(headers) is not list:
        raise NotARecord("headers is no list")
    for header in headers:
        if type(header) is not list or len(header) != 2 or type(header[0]) is not str or type(header[1]) is not str:
            raise NotARecord("a header is no pair of texts")
    return BrokerRecord(
        _text(fields, "origin"),
        _number(fields, "counter"),
        _text(fields, "id"),
        _text(fields, "destination"),
        tuple((name, value) for name, value in headers),
        body,
        partition,
    )


def _room(change: RoomChanged) -> bytes:
    fields = {
        "v": VERSION,
        "kind": "room",
        "room": change.room,
        "membersVersion": change.members_version,
        "deleted": change.deleted,
        "epoch": change.epoch,
    }
    return orjson.dumps(fields)


def _read_room(fields: dict[str, Any]) -> RoomChanged:
    deleted = fields.get("deleted")
    if type(deleted) is not bool:
        raise NotARecord("deleted is neither true nor false")
    return RoomChanged(_text(fields, "room"), _number(fields, "membersVersion"), deleted, _text(fields, "epoch"))


def _read_hint(fields: dict[str, Any]) -> QueueHint:
    origin = fields.get("origin", "")  # earlier versions name none
    if type(origin) is not str:
        raise NotARecord("origin is no text")
    return QueueHint(_text(fields, "queue"), origin)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if type(value) is not str or not value:
        raise NotARecord(f"{name} is no text")
    return value


def _number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise NotARecord(f"{name} is no number")
    return value
