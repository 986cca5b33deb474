"""The timer wheel beside a naive sorted list, and what it promises around calls that misbehave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stompgate.timing.wheel import Entry, TimerWheel

TICK_S = 0.05


class Naive:
    """What a timer wheel is, without the wheel."""

    def __init__(self) -> None:
        self.due: list[tuple[float, int]] = []

    def advance(self, now_s: float) -> list[int]:
        made = sorted(timer for timer in self.due if timer[0] <= now_s)
        self.due = [timer for timer in self.due if timer[0] > now_s]
        return [name for _, name in made]


_times = st.one_of(
    st.floats(0, 3),
    st.floats(0, 500),
    st.integers(0, 60).map(lambda ticks: ticks * TICK_S),
)
_steps = st.one_of(
    st.tuples(st.just("schedule"), _times),
    st.tuples(st.just("advance"), st.one_of(st.just(TICK_S), _times)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
)


@settings(max_examples=300, deadline=None)
@given(start_s=st.sampled_from([0.0, 12345.678]), slots=st.sampled_from([1, 2, 8, 64]), steps=st.lists(_steps, max_size=60))
def test_the_wheel_makes_the_same_calls_as_a_sorted_list(start_s: float, slots: int, steps: list[tuple[str, float]]) -> None:
    wheel, naive, now_s = TimerWheel(TICK_S, slots), Naive(), start_s
    made: list[int] = []
    entries: list[Entry] = []

    def call_named(name: int) -> Callable[[], None]:
        return lambda: made.append(name)

    for step, value in steps:
        if step == "schedule":
            at_s = now_s + value
            naive.due.append((at_s, len(entries)))
            entries.append(wheel.schedule(at_s, call_named(len(entries))))
        elif step == "cancel" and value < len(entries):
            entries[int(value)].cancel()
            naive.due = [timer for timer in naive.due if timer[1] != value]
        elif step == "advance":
            now_s += value
            made.clear()
            wheel.advance(now_s)
            # Calls of the very same moment may come in any order.
            assert [entries[name].at_s for name in made] == [
                entries[name].at_s for name in sorted(made, key=lambda n: entries[n].at_s)
            ]
            assert sorted(made) == sorted(naive.advance(now_s))
        assert len(wheel) == len(naive.due)
        assert {name for _, name in naive.due} == {name for name, entry in enumerate(entries) if entry.is_pending}


def test_a_call_is_never_early_and_never_a_tick_late_when_advanced_every_tick() -> None:
    wheel = TimerWheel(TICK_S, slots=8)
    late_s: list[float] = []
    now_s = 0.0
    for number in range(1, 200):
        at_s = number * 0.0173

        def call(at_s: float = at_s) -> None:
            late_s.append(now_s - at_s)

        wheel.schedule(at_s, call)
    while len(wheel):
        now_s += TICK_S
        wheel.advance(now_s)
    assert len(late_s) == 199
    assert min(late_s) >= 0
    assert max(late_s) <= TICK_S


def test_a_long_delay_outlasts_many_turns_and_a_leap_finds_every_call_once() -> None:
    wheel, made = TimerWheel(TICK_S, slots=4), list[str]()
    wheel.schedule(3600.0, lambda: made.append("hour"))
    wheel.schedule(1800.0, lambda: made.append("half"))
    for tick in range(100):
        wheel.advance(tick * TICK_S)
    assert made == []
    wheel.advance(1e9)
    assert made == ["half", "hour"]
    wheel.advance(2e9)
    assert made == ["half", "hour"]


def test_a_time_that_goes_back_makes_no_calls_and_loses_none() -> None:
    wheel, made = TimerWheel(TICK_S, slots=4), list[str]()
    wheel.advance(100.0)
    wheel.schedule(50.0, lambda: made.append("overdue"))
    wheel.advance(49.0)
    assert made == []
    wheel.advance(100.0)
    assert made == ["overdue"]


def test_a_call_may_schedule_again_and_is_made_again_in_a_later_advance() -> None:
    wheel, made = TimerWheel(TICK_S, slots=4), list[int]()

    def again() -> None:
        made.append(1)
        wheel.schedule(0.0, again)

    wheel.schedule(0.0, again)
    for turn in range(1, 4):
        wheel.advance(10.07)
        assert len(made) == turn
        assert len(wheel) == 1


def test_a_call_may_cancel_itself_and_others_that_are_due_in_the_same_advance() -> None:
    wheel, made = TimerWheel(TICK_S, slots=4), list[str]()

    def first() -> None:
        made.append("first")
        entries[0].cancel()
        entries[1].cancel()

    entries = [
        wheel.schedule(1.0, first),
        wheel.schedule(1.1, lambda: made.append("second")),
        wheel.schedule(1.2, lambda: made.append("third")),
    ]
    wheel.advance(2.0)
    assert made == ["first", "third"]
    assert len(wheel) == 0


def test_a_call_that_fails_comes_out_and_the_calls_after_it_stay_due() -> None:
    wheel, made = TimerWheel(TICK_S, slots=4), list[str]()

    def fail() -> None:
        raise LookupError("broken")

    wheel.schedule(1.0, fail)
    wheel.schedule(1.0, fail)
    wheel.schedule(1.1, lambda: made.append("later"))
    wheel.schedule(1.3, lambda: made.append("latest"))
    for left in (3, 2):
        with pytest.raises(LookupError):
            wheel.advance(1.2)
        assert len(wheel) == left
    wheel.advance(1.4)
    assert made == ["later", "latest"]
    assert len(wheel) == 0


def test_a_cancelled_entry_lets_go_of_its_call_at_once_and_is_swept_within_a_turn() -> None:
    wheel = TimerWheel(TICK_S, slots=4)
    entries = [wheel.schedule(1000.0, lambda: None) for _ in range(100)]
    for entry in entries:
        entry.cancel()
        entry.cancel()
    assert len(wheel) == 0
    assert not any(entry.is_pending for entry in entries)
    for tick in range(5):
        wheel.advance(tick * TICK_S)
    assert not any(wheel._slots)
