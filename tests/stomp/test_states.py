"""What may come when, and which headers it must bring (C14, S1, U1, U4, U7, A1, A2, T1)."""

from __future__ import annotations

import pytest

from stompgate.model.causes import Cause, Refusal
from stompgate.stomp.frames import CLIENT_COMMANDS, Frame
from stompgate.stomp.states import State, check
from stompgate.stomp.versions import Version

V1_0, V1_1, V1_2 = Version
ALL = [V1_0, V1_1, V1_2]


def cause_of(state: State, version: Version, frame: Frame) -> Cause:
    with pytest.raises(Refusal) as refused:
        check(state, version, frame)
    return refused.value.cause


def frame(command: str, *names: str) -> Frame:
    return Frame(command, dict.fromkeys(names, "1") | {"ack": "auto"})


@pytest.mark.parametrize("version", ALL)
def test_c14_the_first_frame_must_be_connect_or_stomp(version: Version) -> None:
    for command in CLIENT_COMMANDS:
        if command in {"CONNECT", "STOMP"}:
            assert check(State.AWAITING_CONNECT, version, Frame(command)) is State.CONNECTED
        else:
            assert cause_of(State.AWAITING_CONNECT, version, Frame(command)) is Cause.NOT_CONNECTED


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("command", ["CONNECT", "STOMP"])
def test_c14_a_second_connect_is_refused(version: Version, command: str) -> None:
    assert cause_of(State.CONNECTED, version, Frame(command)) is Cause.ALREADY_CONNECTED


def test_what_comes_while_closing_is_not_judged() -> None:
    for command in CLIENT_COMMANDS:
        assert check(State.CLOSING, V1_2, Frame(command)) is State.CLOSING


@pytest.mark.parametrize("version", ALL)
def test_disconnect_leads_to_closing(version: Version) -> None:
    assert check(State.CONNECTED, version, Frame("DISCONNECT")) is State.CLOSING


NEEDS = [
    ("SEND", ALL, ["destination"]),
    ("SUBSCRIBE", [V1_0], ["destination"]),
    ("SUBSCRIBE", [V1_1, V1_2], ["destination", "id"]),
    ("UNSUBSCRIBE", [V1_1, V1_2], ["id"]),
    ("ACK", [V1_0], ["message-id"]),
    ("ACK", [V1_1], ["message-id", "subscription"]),
    ("ACK", [V1_2], ["id"]),
    ("NACK", [V1_1], ["message-id", "subscription"]),
    ("NACK", [V1_2], ["id"]),
    ("BEGIN", ALL, ["transaction"]),
    ("COMMIT", ALL, ["transaction"]),
    ("ABORT", ALL, ["transaction"]),
]


@pytest.mark.parametrize(("command", "in_versions", "names"), NEEDS)
def test_each_frame_needs_its_headers_and_no_other(command: str, in_versions: list[Version], names: list[str]) -> None:
    for version in in_versions:
        assert check(State.CONNECTED, version, frame(command, *names)) is State.CONNECTED
        for missing in names:
            rest = [name for name in names if name != missing]
            with pytest.raises(Refusal, match="missing-header") as refused:
                check(State.CONNECTED, version, frame(command, *rest))
            assert f"{command} needs the header {missing}." == refused.value.explanation


def test_u7_unsubscribe_in_1_0_goes_by_id_or_by_destination() -> None:
    assert check(State.CONNECTED, V1_0, frame("UNSUBSCRIBE", "id")) is State.CONNECTED
    assert check(State.CONNECTED, V1_0, frame("UNSUBSCRIBE", "destination")) is State.CONNECTED
    assert cause_of(State.CONNECTED, V1_0, frame("UNSUBSCRIBE")) is Cause.MISSING_HEADER


def test_a2_there_is_no_nack_in_1_0() -> None:
    assert cause_of(State.CONNECTED, V1_0, frame("NACK", "message-id")) is Cause.UNKNOWN_COMMAND


@pytest.mark.parametrize("version", ALL)
def test_u4_a_subscription_says_how_it_acknowledges(version: Version) -> None:
    headers = {"destination": "/a", "id": "1"}
    for mode in ["auto", "client", "client-individual"]:  # 1.0 does not name the last; its clients use it all the same
        assert check(State.CONNECTED, version, Frame("SUBSCRIBE", headers | {"ack": mode})) is State.CONNECTED
    assert check(State.CONNECTED, version, Frame("SUBSCRIBE", headers)) is State.CONNECTED
    assert cause_of(State.CONNECTED, version, Frame("SUBSCRIBE", headers | {"ack": "never"})) is Cause.BAD_HEADER
