"""A histogram counts every value once, in the first bucket whose bound it does not pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stompgate.timing.histogram import FAST_S, LATE_S, ROWS, Histogram


def test_a_value_on_a_bound_is_not_above_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.1, 100.0):
        histogram.observe(value)
    assert histogram.cumulative() == [2, 4, 6]
    assert histogram.count == 6
    assert histogram.total == pytest.approx(106.6)


@given(st.lists(st.floats(0, 20)))
def test_it_says_the_same_as_counting(values: list[float]) -> None:
    histogram = Histogram(FAST_S)
    for value in values:
        histogram.observe(value)
    assert histogram.cumulative() == [*(sum(value <= bound for value in values) for bound in FAST_S), len(values)]
    assert histogram.total == pytest.approx(sum(values))


@pytest.mark.parametrize("bounds", [(), (1.0, 1.0), (2.0, 1.0)])
def test_bounds_that_do_not_rise_are_refused(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rise"):
        Histogram(bounds)


@pytest.mark.parametrize("bounds", [FAST_S, LATE_S, ROWS])
def test_the_bounds_that_are_used_rise(bounds: tuple[float, ...]) -> None:
    assert Histogram(bounds).count == 0
