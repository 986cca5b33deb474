"""C11 and C12 on a clock that tests own: something is sent within every agreed interval, and lateness is forgiven."""

from __future__ import annotations

import asyncio

from hypothesis import example, given, settings
from hypothesis import strategies as st

from stompgate.gateway.heartbeats import HeartBeats
from stompgate.model.causes import Cause
from stompgate.stomp.heartbeats import Agreement
from stompgate.timing.wheel import TimerWheel

from .scene import RecordingLink, Scene

TICK_S = TimerWheel().tick_s
LEAST_S = 0.1
"""The shortest interval that the settings allow, ``stomp.heart_beat_send_ms``."""

thorough = settings(max_examples=80, deadline=None)


class TimedLink(RecordingLink):
    """A link that notes when it was given something, as an outbox does."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.clock)
        self.scene = scene
        self.sent_s: list[float] = [self.last_sent_s]

    def offer_other(self, data: bytes) -> None:
        super().offer_other(data)
        self.last_sent_s = self.scene.clock.monotonic()
        self.sent_s.append(self.last_sent_s)


def gaps(link: TimedLink) -> list[float]:
    """The times between what was sent, to the end."""
    until = [*link.sent_s[1:], link.scene.clock.monotonic()]
    return [after - before for before, after in zip(link.sent_s, until, strict=True)]


@thorough
@given(
    interval_s=st.floats(LEAST_S, 20),
    phase_s=st.floats(0, TICK_S),
    late_s=st.lists(st.floats(0, TICK_S * 0.9), max_size=50),
    written_at_s=st.lists(st.floats(0, 200), max_size=20),
)
@example(interval_s=LEAST_S, phase_s=0.0, late_s=[], written_at_s=[])
@example(interval_s=10.0, phase_s=TICK_S, late_s=[], written_at_s=[8.9])
def test_nothing_but_the_interval_is_ever_let_pass(
    interval_s: float, phase_s: float, late_s: list[float], written_at_s: list[float]
) -> None:
    """Whenever in a tick the connection began, whatever else is sent on it, and with a loop that is a little late."""

    async def run() -> None:
        scene = Scene()
        scene.clock.advance(phase_s)
        link = TimedLink(scene)
        HeartBeats(scene.gate.attach(link), Agreement(interval_s, 0.0)).start()
        writes = sorted(scene.clock.monotonic() + interval_s * at_s / 50 for at_s in written_at_s)
        lates = iter(late_s)
        for _ in range(round(4 * interval_s / TICK_S) + 4):
            tick_s = TICK_S + next(lates, 0.0)
            while writes and writes[0] <= scene.clock.monotonic() + tick_s:
                before_s = max(0.0, writes.pop(0) - scene.clock.monotonic())
                scene.clock.advance(before_s)
                tick_s -= before_s
                link.offer(b"x")
            scene.clock.advance(tick_s)
            scene.wheel.advance(scene.clock.monotonic())
        assert max(gaps(link)) <= interval_s

    asyncio.run(run())


@thorough
@given(interval_s=st.floats(0.05, 4), factor=st.floats(1, 5), floor_s=st.floats(0, 10), beats=st.integers(0, 3))
def test_silence_is_forgiven_for_the_factor_or_the_floor_whichever_is_longer(
    interval_s: float, factor: float, floor_s: float, beats: int
) -> None:
    async def run() -> None:
        scene = Scene(heart_beat_grace_factor=factor, heart_beat_grace_floor_s=floor_s, first_frame_s=1e6)
        link = TimedLink(scene)
        patience_s = max(interval_s * factor, floor_s)
        HeartBeats(scene.gate.attach(link), Agreement(0.0, interval_s)).start()
        for _ in range(beats):
            scene.pass_s(max(0.0, patience_s - 2 * TICK_S))
            link.last_received_s = scene.clock.monotonic()
        scene.pass_s(max(0.0, patience_s - 2 * TICK_S))
        assert link.closes == []
        scene.pass_s(4 * TICK_S)
        assert link.closes == [Cause.HEARTBEAT_LOST]

    asyncio.run(run())


def test_without_heart_beats_nothing_is_sent_or_expected() -> None:
    async def run() -> None:
        scene = Scene(first_frame_s=3600.0)
        link = TimedLink(scene)
        HeartBeats(scene.gate.attach(link), Agreement(0.0, 0.0)).start()
        scene.pass_s(100)
        assert (link.offered, link.closes) == ([], [])

    asyncio.run(run())
