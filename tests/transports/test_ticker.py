"""The wheel turns in time; after the event loop stood still, what lies unread is read before anyone is judged."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from stompgate.timing.wheel import TimerWheel
from stompgate.transports.ticker import STALL_S, Ticker
from tests.fakes import FakeClock

TICK_S = 0.05


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def wheel(clock: FakeClock) -> TimerWheel:
    wheel = TimerWheel(TICK_S)
    wheel.advance(clock.monotonic())
    return wheel


@pytest.fixture
def ticker(wheel: TimerWheel, clock: FakeClock) -> Ticker:
    ticker = Ticker(wheel, clock, TICK_S)
    ticker.start()
    return ticker


def test_after_a_stall_the_wheel_rests_for_one_tick(wheel: TimerWheel, clock: FakeClock, ticker: Ticker) -> None:
    judged: list[float] = []
    wheel.schedule(clock.monotonic() + 1, lambda: judged.append(clock.monotonic()))
    clock.stand_still(2)
    clock.advance(0)
    assert judged == []
    clock.advance(TICK_S)
    assert judged == [pytest.approx(1000 + 2 + TICK_S)]
    assert ticker.stalls == 1


def test_a_stall_is_logged_in_one_line_with_its_length(clock: FakeClock, ticker: Ticker) -> None:
    with capture_logs() as lines:
        clock.advance(1)
        clock.stand_still(2)
        clock.advance(10)
    about_2_s = pytest.approx(2, abs=2 * TICK_S)
    assert lines == [{"event": "the event loop stood still", "log_level": "warning", "stalled_s": about_2_s}]
    assert ticker.longest_stall_s == about_2_s


def test_a_timed_call_that_blocks_is_a_stall_for_those_behind_it(wheel: TimerWheel, clock: FakeClock, ticker: Ticker) -> None:
    judged: list[float] = []
    wheel.schedule(clock.monotonic() + 0.98, lambda: clock.stand_still(2))
    wheel.schedule(clock.monotonic() + 2, lambda: judged.append(clock.monotonic()))
    clock.advance(1)
    clock.advance(0)
    assert judged == []
    clock.advance(2 * TICK_S)
    assert len(judged) == 1
    assert ticker.stalls == 1


def test_being_a_little_late_is_no_stall(wheel: TimerWheel, clock: FakeClock, ticker: Ticker) -> None:
    judged: list[float] = []
    wheel.schedule(clock.monotonic() + STALL_S / 2, lambda: judged.append(clock.monotonic()))
    with capture_logs() as lines:
        clock.stand_still(STALL_S)  # from the beginning of the tick's wait, so that it is less late
        clock.advance(0)
    assert len(judged) == 1
    assert lines == []
    assert ticker.stalls == 0


def test_a_loop_that_is_always_late_still_keeps_its_times(wheel: TimerWheel, clock: FakeClock, ticker: Ticker) -> None:
    judged: list[float] = []
    wheel.schedule(clock.monotonic() + 1, lambda: judged.append(clock.monotonic()))
    for _ in range(2):
        clock.stand_still(2)
        clock.advance(0)
    assert len(judged) == 1
    assert ticker.stalls == 2


def test_a_stopped_ticker_ticks_no_more(wheel: TimerWheel, clock: FakeClock, ticker: Ticker) -> None:
    judged: list[float] = []
    wheel.schedule(clock.monotonic() + 1, lambda: judged.append(clock.monotonic()))
    ticker.stop()
    ticker.stop()
    clock.advance(10)
    assert judged == []


def test_how_late_each_tick_was_is_known(clock: FakeClock, ticker: Ticker) -> None:
    clock.advance(1)
    assert ticker.lag_s == 0
    clock.stand_still(TICK_S + 0.2)
    clock.advance(0)
    assert ticker.lag_s == pytest.approx(0.2)
    assert ticker.lags_s.total == pytest.approx(0.2)
    assert ticker.lags_s.count == 21


def test_a_lag_above_the_setting_is_logged_but_not_with_every_tick(wheel: TimerWheel, clock: FakeClock) -> None:
    ticker = Ticker(wheel, clock, TICK_S, warn_s=0.1)
    ticker.start()
    with capture_logs() as lines:
        for _ in range(10):  # 2.5 s of a loop that is always late
            clock.stand_still(TICK_S + 0.2)
            clock.advance(0)
    assert [line["stalled_s"] for line in lines] == [pytest.approx(0.2, abs=0.001)] * 3
    assert ticker.stalls == 0
