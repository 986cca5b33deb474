"""The table of causes: what every row must keep."""

from __future__ import annotations

import re

import pytest

from stompgate.model.causes import Cause, Refusal


def test_every_code_is_used_once() -> None:
    codes = [cause.code for cause in Cause]
    assert len(set(codes)) == len(codes)
    assert len(list(Cause)) == len(Cause.__members__)  # equal facts would make one row an alias of another


@pytest.mark.parametrize("cause", Cause)
def test_a_row_says_what_clients_can_use(cause: Cause) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", cause.code)
    assert cause.text.endswith(".")
    assert 200 <= cause.http_status <= 599
    assert 1000 <= cause.close_code <= 1015
    if cause.close_code in {1012, 1013}:
        assert cause.retry  # both codes invite to come back
    if cause.http_status == 503:
        assert cause.retry


def test_a_refusal_without_explanation_says_the_text_of_its_cause() -> None:
    assert Refusal(Cause.NO_SUCH_ROOM).explanation == Cause.NO_SUCH_ROOM.text


def test_a_problem_document_holds_no_detail() -> None:
    problem = Refusal(Cause.STORE_UNAVAILABLE, detail="SELECT secret").problem()
    assert problem["status"] == 503
    assert "secret" not in str(problem)
