"""The JSON of messages is what existing clients read and write, to the letter."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stompgate.chat.wire import Incoming, Wire, read_incoming
from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage
from stompgate.model.records import ForeignRecord

SEOUL = ZoneInfo("Asia/Seoul")


def us(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return round(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("2025-01-20T10:30:00+00:00", "UTC", "2025-01-20T10:30:00"),
        ("2025-01-20T10:30:05.500000+00:00", "UTC", "2025-01-20T10:30:05.5"),
        ("2025-01-20T10:30:05.000001+00:00", "UTC", "2025-01-20T10:30:05.000001"),
        ("2025-01-20T10:30:05.120300+00:00", "UTC", "2025-01-20T10:30:05.1203"),
        ("2025-01-20T10:30:00+00:00", "Asia/Seoul", "2025-01-20T19:30:00"),
        ("2025-01-20T10:30:00+00:00", "Asia/Kathmandu", "2025-01-20T16:15:00"),
        ("2025-01-20T10:30:00+00:00", "America/New_York", "2025-01-20T05:30:00"),
        ("2025-03-30T00:59:59+00:00", "Europe/Berlin", "2025-03-30T01:59:59"),
        ("2025-03-30T01:00:00+00:00", "Europe/Berlin", "2025-03-30T03:00:00"),
        ("2025-10-26T00:30:00+00:00", "Europe/Berlin", "2025-10-26T02:30:00"),
        ("2025-10-26T01:30:00+00:00", "Europe/Berlin", "2025-10-26T02:30:00"),
        ("1970-01-01T00:00:00+00:00", "UTC", "1970-01-01T00:00:00"),
        ("1969-12-31T23:59:59+00:00", "UTC", "1969-12-31T23:59:59"),
        ("1969-12-31T23:59:59.250000+00:00", "UTC", "1969-12-31T23:59:59.25"),
    ],
)
def test_a_time_is_printed_as_java_prints_a_local_date_time(moment: str, zone: str, expected: str) -> None:
    assert Wire(ZoneInfo(zone)).timestamp(us(moment)) == expected


@given(st.lists(st.integers(-(10**15), 4 * 10**15), min_size=1, max_size=5))
def test_a_time_does_not_depend_on_the_one_printed_before(moments: list[int]) -> None:
    wire = Wire(SEOUL)
    for moment in moments:
        printed = wire.timestamp(moment)
        assert printed == Wire(SEOUL).timestamp(moment)
        second, fraction = divmod(moment, 1_000_000)
        read = datetime.fromisoformat(printed.split(".")[0])
        assert read == datetime.fromtimestamp(second, UTC).astimezone(SEOUL).replace(tzinfo=None)
        assert printed.partition(".")[2].ljust(6, "0") == f"{fraction:06}"


def test_without_a_zone_the_systems_is_taken() -> None:
    assert Wire(None).timestamp(1_737_369_000_000_000) == datetime.fromtimestamp(1_737_369_000).isoformat()


MESSAGE = ChatMessage("m1", "r1", 7, "ann", '안녕 "bob"\n', 1_737_369_000_250_000, "e1", 3)


def test_a_messages_body_has_the_old_fields_and_then_ours() -> None:
    body = Wire(SEOUL).message_body(MESSAGE).decode()
    assert body == (
        '{"roomUUID":"r1","sender":"ann","content":"안녕 \\"bob\\"\\n","timestamp":"2025-01-20T19:30:00.25","id":"m1","seq":7}'
    )


def test_a_historys_entry_has_the_position_too() -> None:
    wire = Wire(SEOUL)
    entry = json.loads(wire.history_entry(MESSAGE))
    assert entry == {**json.loads(wire.message_body(MESSAGE)), "position": MESSAGE.position}
    assert list(entry)[-1] == "position"


@pytest.mark.parametrize("timestamp", [None, "2025-01-20T10:30:00"])
def test_a_record_of_another_program_keeps_its_four_fields(timestamp: str | None) -> None:
    body = Wire(SEOUL).foreign_body(ForeignRecord("f1", "r1", "ann", "hi", timestamp))
    assert list(json.loads(body).items()) == [
        ("roomUUID", "r1"),
        ("sender", "ann"),
        ("content", "hi"),
        ("timestamp", timestamp),
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"roomUUID":"r1","sender":"ann","content":"hi"}', Incoming("r1", "ann", "hi")),
        ('{"content":"안녕","more":[1,{}]}', Incoming(None, None, "안녕")),
        ('{"roomUUID":null,"sender":null,"content":" "}', Incoming(None, None, " ")),
        ('{"content":"a\\u0000b\\ud83d\\ude00"}', Incoming(None, None, "a\0b😀")),
    ],
)
def test_a_body_is_read(body: str, expected: Incoming) -> None:
    assert read_incoming(body.encode()) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b'"content"',
        b"null",
        b"{}",
        b'{"content":""}',
        b'{"content":null}',
        b'{"content":5}',
        b'{"content":["x"]}',
        b'{"content":"x","sender":5}',
        b'{"content":"x","roomUUID":{}}',
        b'{"content":"x"',
        b'{"content":"x"} more',
        b'{"content":"\xff"}',
        b'{"content":"\\ud800"}',
        b"{'content':'x'}",
        b'{"content":NaN}',
        b'{"content":"x"}\0',
        b"[" * 5000,
    ],
)
def test_a_body_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_incoming(body)
    assert refused.value.cause is Cause.BAD_BODY


@given(st.binary(max_size=60))
def test_no_body_raises_anything_else(body: bytes) -> None:
    try:
        incoming = read_incoming(body)
    except Refusal:
        return
    assert incoming.content


@given(st.text(min_size=1), st.text(), st.text())
def test_what_was_said_is_what_is_heard(content: str, sender: str, room: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in content + sender + room):
        return
    read = read_incoming(json.dumps({"content": content, "sender": sender, "roomUUID": room}).encode())
    body = json.loads(Wire(SEOUL).message_body(ChatMessage("m", room, 1, sender, read.content, 0, "e", 1)))
    assert (body["content"], body["sender"], body["roomUUID"]) == (content, sender, room)
