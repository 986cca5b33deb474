"""The tests' own clock keeps the contract of the port."""

from __future__ import annotations

from stompgate.ports.clock import Clock
from tests.fakes import FakeClock


def test_calls_are_made_in_order_each_at_its_own_time() -> None:
    fake = FakeClock(monotonic_s=10.0, utc_us=5_000_000)
    clock: Clock = fake
    made: list[tuple[str, float, int]] = []

    def note(name: str) -> None:
        made.append((name, clock.monotonic(), clock.utc_us()))

    def note_and_go_on() -> None:
        note("a")
        clock.call_later(0.5, lambda: note("from a"))

    clock.call_later(2.0, lambda: note("b"))
    clock.call_later(1.0, note_and_go_on)
    clock.call_later(1.0, lambda: note("a2"))
    cancelled = clock.call_later(1.2, lambda: note("cancelled"))
    clock.call_later(9.0, lambda: note("far"))
    cancelled.cancel()
    fake.advance(3.0)
    assert made == [
        ("a", 11.0, 6_000_000),
        ("a2", 11.0, 6_000_000),
        ("from a", 11.5, 6_500_000),
        ("b", 12.0, 7_000_000),
    ]
    assert clock.monotonic() == 13.0
    cancelled.cancel()


def test_the_time_of_day_may_jump_while_the_monotonic_one_does_not() -> None:
    clock = FakeClock(monotonic_s=10.0, utc_us=5_000_000)
    clock.set_utc_us(1)
    assert (clock.monotonic(), clock.utc_us()) == (10.0, 1)
    clock.advance(1.0)
    assert (clock.monotonic(), clock.utc_us()) == (11.0, 1_000_001)
