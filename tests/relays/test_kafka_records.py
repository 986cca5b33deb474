"""Records as bytes: there and back, and no bytes whatever that do harm."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stompgate.chat.wire import NotARecord, Wire
from stompgate.model.messages import ChatMessage
from stompgate.model.records import BrokerRecord, ChatRecord, ForeignRecord, QueueHint, Record, RoomChanged
from stompgate.relays.kafka_records import Lane, OtherFormat, decode_chat, decode_own, encode

WIRE = Wire(None)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
numbers = st.integers(0, 2**62)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        ChatRecord,
        st.builds(ChatMessage, texts, texts, st.integers(-5, 2**62), texts, texts, st.integers(0, 2 * 10**15), texts, numbers),
    ),
    st.builds(
        BrokerRecord, texts, numbers, texts, texts, st.lists(st.tuples(texts, texts)).map(tuple), st.binary(), st.just(3)
    ),
    st.builds(RoomChanged, texts, numbers, st.booleans(), texts),
    st.builds(QueueHint, texts, texts | st.just("")),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
chat_fields = ["roomUUID", "sender", "content", "timestamp", "id", "seq", "epoch", "membersVersion", "sentAtUs"]
own_fields = [
    "v",
    "kind",
    "origin",
    "counter",
    "id",
    "destination",
    "headers",
    "room",
    "membersVersion",
    "deleted",
    "epoch",
    "queue",
]


def read(lane: Lane, value: bytes) -> Record:
    return decode_chat(value, "chat", 3, 7) if lane is Lane.CHAT else decode_own(value, 3)


@given(records)
def test_a_record_is_the_same_on_the_other_side(record: Record) -> None:
    lane, key, value = encode(record, WIRE)
    assert read(lane, value) == record
    match record:
        case ChatRecord(message):
            assert key == message.room.encode()
        case BrokerRecord():
            assert key == record.destination.encode()
        case RoomChanged():
            assert key == record.room.encode()
        case QueueHint(queue, _):
            assert key == queue.encode()


@given(records, st.sampled_from([*chat_fields, *own_fields]), json_values)
def test_a_forged_field_is_a_record_with_right_types_or_none(record: Record, field: str, value: Any) -> None:
    lane, _, whole = encode(record, WIRE)
    line, newline, body = whole.partition(b"\n") if isinstance(record, BrokerRecord) else (whole, b"", b"")
    try:
        forged = orjson.dumps(orjson.loads(line) | {field: value}) + newline + body
    except orjson.JSONEncodeError:
        return
    try:
        taken = read(lane, forged)
    except (NotARecord, OtherFormat):
        return
    if isinstance(taken, ChatRecord):
        WIRE.record(taken.message)  # its time can be shown
    if not isinstance(taken, ForeignRecord):
        assert read(*encode(taken, WIRE)[::2]) == taken


@given(st.binary(max_size=60) | json_values.map(lambda value: repr(value).encode()))
def test_no_bytes_do_harm(value: bytes) -> None:
    for lane in Lane:
        with pytest.raises((NotARecord, OtherFormat)):
            read(lane, value)


def test_a_hint_of_an_earlier_version_is_read_and_an_earlier_version_reads_ours() -> None:
    """Two versions run side by side while servers are upgraded. The earlier one asks for ``queue`` and passes over the rest."""
    assert decode_own(b'{"v":1,"kind":"queue","queue":"/queue/a"}', 3) == QueueHint("/queue/a", "")
    _, _, value = encode(QueueHint("/queue/a", "me"), WIRE)
    assert orjson.loads(value) | {"v": 1, "kind": "queue", "queue": "/queue/a"} == orjson.loads(value)


def test_a_record_of_another_program_is_named_by_its_place() -> None:
    value = orjson.dumps({"roomUUID": "r", "sender": "s", "content": "", "timestamp": [2025, 1, 20]})
    assert decode_chat(value, "chat", 3, 7) == ForeignRecord("chat-3-7", "r", "s", "", None)
    value = orjson.dumps(
        {"roomUUID": "r", "sender": "s", "content": "c", "timestamp": "2025-01-20T10:30:00", "id": "x", "seq": 1}
    )
    assert decode_chat(value, "chat", 3, 8) == ForeignRecord("chat-3-8", "r", "s", "c", "2025-01-20T10:30:00")
