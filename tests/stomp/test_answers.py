"""The frames that a server answers with (C5, C6, R2, E2, E3)."""

from __future__ import annotations

from stompgate.model.causes import Cause
from stompgate.stomp.answers import connected, error, receipt
from stompgate.stomp.frames import Frame
from stompgate.stomp.heartbeats import HeartBeat
from stompgate.stomp.versions import Version


def test_connected_says_version_and_heart_beat_and_what_else_the_server_tells() -> None:
    assert connected(Version.V1_1, HeartBeat(10000, 0)) == Frame("CONNECTED", {"version": "1.1", "heart-beat": "10000,0"})
    named = connected(Version.V1_0, HeartBeat(0, 0), {"session": "s-1", "server": "stompgate"})
    assert named.headers == {"version": "1.0", "heart-beat": "0,0", "session": "s-1", "server": "stompgate"}


def test_receipt_names_what_it_answers_first() -> None:
    assert receipt("r-1") == Frame("RECEIPT", {"receipt-id": "r-1"})
    assert list(receipt("r-1", {"recovered": "true"}).headers) == ["receipt-id", "recovered"]


def test_error_is_made_from_the_table_of_causes() -> None:
    frame = error(Cause.BAD_DESTINATION, "There is only /pub.", "r-1", {"version": "1.2"})
    assert frame.command == "ERROR"
    assert frame.headers == {
        "message": Cause.BAD_DESTINATION.text,
        "code": "bad-destination",
        "retry": "false",
        "receipt-id": "r-1",
        "content-type": "text/plain;charset=utf-8",
        "version": "1.2",
    }
    assert frame.body == b"There is only /pub."


def test_error_without_more_to_say_repeats_the_cause() -> None:
    frame = error(Cause.OVERLOADED)
    assert frame.body.decode() == Cause.OVERLOADED.text
    assert frame.headers["retry"] == "true"
    assert "receipt-id" not in frame.headers
