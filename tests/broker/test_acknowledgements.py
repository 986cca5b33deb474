"""An ACK settles what it names: in ``client`` mode all up to it, in ``client-individual`` itself alone, else nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stompgate.broker.acknowledgements import AckMode, Unacknowledged


def given_ids(mode: AckMode, *ids: str) -> Unacknowledged:
    unacknowledged = Unacknowledged(mode)
    for ack_id in ids:
        unacknowledged.give(ack_id)
    return unacknowledged


def test_a_cumulative_ack_settles_all_up_to_it() -> None:
    unacknowledged = given_ids(AckMode.CLIENT, "a", "b", "c", "d")
    assert unacknowledged.settle("c") == ["a", "b", "c"]
    assert "c" not in unacknowledged
    assert "d" in unacknowledged
    assert unacknowledged.settle("d") == ["d"]
    assert len(unacknowledged) == 0


def test_an_individual_ack_settles_one() -> None:
    unacknowledged = given_ids(AckMode.INDIVIDUAL, "a", "b", "c")
    assert unacknowledged.settle("b") == ["b"]
    assert [ack_id for ack_id in "abc" if ack_id in unacknowledged] == ["a", "c"]


@pytest.mark.parametrize("mode", [AckMode.CLIENT, AckMode.INDIVIDUAL])
def test_an_ack_of_what_does_not_wait_settles_nothing(mode: AckMode) -> None:
    unacknowledged = given_ids(mode, "a", "b")
    assert unacknowledged.settle("x") == []
    assert unacknowledged.settle("a") == ["a"]
    assert unacknowledged.settle("a") == []
    assert len(unacknowledged) == 1


@given(st.sampled_from([AckMode.CLIENT, AckMode.INDIVIDUAL]), st.lists(st.tuples(st.booleans(), st.integers(0, 9))))
def test_any_order_of_giving_and_acknowledging_keeps_the_count(mode: AckMode, steps: list[tuple[bool, int]]) -> None:
    unacknowledged = Unacknowledged(mode)
    waiting: list[str] = []
    for gives, number in steps:
        ack_id = str(number)
        if gives:
            unacknowledged.give(ack_id)
            waiting += [ack_id] if ack_id not in waiting else []
        else:
            settled: list[str] = []
            if ack_id in waiting:
                at = waiting.index(ack_id)
                settled = waiting[: at + 1] if mode is AckMode.CLIENT else [ack_id]
                waiting = waiting[at + 1 :] if mode is AckMode.CLIENT else waiting[:at] + waiting[at + 1 :]
            assert unacknowledged.settle(ack_id) == settled
        assert len(unacknowledged) == len(waiting)
