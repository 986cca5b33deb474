"""The arithmetic of heart-beats (C9, C10)."""

from __future__ import annotations

import pytest

from stompgate.model.causes import Cause, Refusal
from stompgate.stomp.heartbeats import Agreement, HeartBeat, negotiate, parse


def test_a_missing_header_means_none() -> None:
    assert parse(None) == HeartBeat(0, 0)


@pytest.mark.parametrize("value", ["10000,5000", " 10000 , 5000 ", "00010000,5000"])
def test_two_numbers_are_read(value: str) -> None:
    assert parse(value) == HeartBeat(10000, 5000)


def test_an_interval_may_be_as_long_as_a_client_likes() -> None:
    assert parse("2147483647,9223372036854775") == HeartBeat(2**31 - 1, 9223372036854775)


@pytest.mark.parametrize(
    "value", ["", "1", "1,", ",1", "1,2,3", "-1,0", "+1,0", "1.5,0", "a,b", "1 0,0", "١,٢", "1,1\n", "9" * 19 + ",0"]
)
def test_anything_else_is_refused(value: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse(value)
    assert refused.value.cause is Cause.BAD_HEADER


@pytest.mark.parametrize(
    ("client", "server", "agreement"),
    [
        (HeartBeat(0, 0), HeartBeat(10000, 10000), Agreement(0.0, 0.0)),
        (HeartBeat(10000, 10000), HeartBeat(0, 0), Agreement(0.0, 0.0)),
        (HeartBeat(1000, 20000), HeartBeat(10000, 5000), Agreement(20.0, 5.0)),
        (HeartBeat(0, 1), HeartBeat(10000, 10000), Agreement(10.0, 0.0)),
        (HeartBeat(7500, 0), HeartBeat(10000, 10000), Agreement(0.0, 10.0)),
    ],
)
def test_each_direction_is_off_or_the_slower_of_the_pair(client: HeartBeat, server: HeartBeat, agreement: Agreement) -> None:
    assert negotiate(client, server) == agreement


def test_a_heart_beat_is_written_as_it_is_read() -> None:
    assert str(HeartBeat(10000, 0)) == "10000,0"
    assert parse(str(HeartBeat(10000, 0))) == HeartBeat(10000, 0)
