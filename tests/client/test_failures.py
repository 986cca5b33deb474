"""What a client makes of the server's words, and how long it waits before it comes back."""

from __future__ import annotations

import json

import pytest

from stompgate.client.failures import Failure, lost_by_close, lost_by_error, lost_by_handshake, refused_by
from stompgate.client.options import BackOff, Options
from stompgate.model.causes import Cause, Refusal
from stompgate.stomp import answers

PROBLEM = json.dumps(Refusal(Cause.ORIGIN_REFUSED, "Only pages of example.org.").problem()).encode()


@pytest.mark.parametrize(
    ("failure", "code", "retry"),
    [
        (lost_by_close(1012, "server-stopping"), "server-stopping", True),
        (lost_by_close(1008, "wrong-sender"), "wrong-sender", False),
        (lost_by_close(1006, ""), "connection-lost", True),
        (lost_by_close(None, ""), "connection-lost", True),
        (lost_by_close(1013, "a cause of a later version"), "a cause of a later version", True),
        (lost_by_handshake(403, PROBLEM), "http-403", False),
        (lost_by_handshake(429, b""), "http-429", True),
        (lost_by_handshake(502, b"<html>"), "http-502", True),
        (refused_by({"message": "of another broker"}, b""), "error", False),
        (refused_by({"code": "bad-body", "retry": "true"}, b""), "bad-body", True),
    ],
)
def test_a_failure_says_what_it_is_and_whether_to_try_again(failure: Failure, code: str, retry: bool) -> None:
    assert (failure.code, failure.retry) == (code, retry)
    assert failure.text or code == "bad-body"


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_understood_in_an_error_and_in_a_soft_one(cause: Cause) -> None:
    error = answers.error(cause, "what was expected")
    soft = {"code": cause.code, "message": cause.text, "content-type": "application/json"}
    for refused in (
        refused_by(error.headers, error.body),
        refused_by(soft, json.dumps(Refusal(cause, "what was expected").problem()).encode()),
        lost_by_error(error.headers, error.body),
    ):
        assert (refused.code, refused.text, refused.retry) == (cause.code, "what was expected", cause.retry)


def test_an_error_about_one_frame_says_nothing_against_the_next_connection() -> None:
    error = answers.error(Cause.BAD_HEADER, receipt_id="r1")
    assert lost_by_error(error.headers, error.body).retry


def test_pauses_grow_to_their_bound_and_start_afresh_after_a_steady_time() -> None:
    options = Options(pause_first_s=1, pause_most_s=10)
    longest, shortest = BackOff(options, lambda: 1.0), BackOff(options, lambda: 0.0)
    assert [longest.pause_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert [shortest.pause_s() for _ in range(6)] == [0.5, 1, 2, 4, 5, 5]
    assert longest.pause_s(lived_s=0.1) == 10
    assert [longest.pause_s(lived_s=60), longest.pause_s()] == [1, 2]
