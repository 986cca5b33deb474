"""A transaction keeps what it is given, in order and within limits, until it is ended."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from stompgate.broker.transactions import TransactionLimits, Transactions
from stompgate.model.causes import Cause, Refusal

LIMITS = TransactionLimits(open=2, frames=3, size_bytes=10)


@dataclass(frozen=True)
class Thing:
    size_bytes: int


@pytest.fixture
def transactions() -> Transactions[Thing]:
    return Transactions(LIMITS)


def test_what_was_held_comes_back_in_its_order(transactions: Transactions[Thing]) -> None:
    transactions.begin("t")
    things = [Thing(1), Thing(0), Thing(9)]
    for thing in things:
        transactions.named("t").hold(thing)
    assert transactions.end("t").kept == things
    assert len(transactions) == 0


def test_a_name_may_be_used_again_after_its_end(transactions: Transactions[Thing]) -> None:
    transactions.begin("t")
    transactions.named("t").hold(Thing(1))
    transactions.end("t")
    transactions.begin("t")
    assert transactions.end("t").kept == []


def test_one_name_is_open_once(transactions: Transactions[Thing]) -> None:
    transactions.begin("t")
    with pytest.raises(Refusal) as refused:
        transactions.begin("t")
    assert refused.value.cause is Cause.DUPLICATE_TRANSACTION


def test_only_so_many_are_open_at_a_time(transactions: Transactions[Thing]) -> None:
    transactions.begin("1")
    transactions.begin("2")
    with pytest.raises(Refusal) as refused:
        transactions.begin("3")
    assert refused.value.cause is Cause.TOO_MANY_TRANSACTIONS
    transactions.end("1")
    transactions.begin("3")


def test_none_is_held_by_or_ended_without_begin(transactions: Transactions[Thing]) -> None:
    for use in (transactions.named, transactions.end):
        with pytest.raises(Refusal) as refused:
            use("t")
        assert refused.value.cause is Cause.UNKNOWN_TRANSACTION


@pytest.mark.parametrize("sizes", [[1, 1, 1, 0], [11], [5, 6]])
def test_frames_and_bytes_are_bounded(transactions: Transactions[Thing], sizes: list[int]) -> None:
    transactions.begin("t")
    *fitting, too_much = sizes
    for size in fitting:
        transactions.named("t").hold(Thing(size))
    with pytest.raises(Refusal) as refused:
        transactions.named("t").hold(Thing(too_much))
    assert refused.value.cause is Cause.TRANSACTION_TOO_LARGE
