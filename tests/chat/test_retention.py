"""Old messages go in slices, with pauses, and only by a clock that can be believed."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from stompgate.chat.retention import DAY_S, JUMP_S, Retention, RetentionLimits
from stompgate.model.messages import Draft
from tests.fakes import FakeClock
from tests.steered_store import SteeredStore

ROOM = "room"
LIMITS = RetentionLimits(days=30, slice_messages=10, pause_s=0.5, every_s=3600.0)


class Scene:
    """A store whose first messages are a month old."""

    def __init__(self, limits: RetentionLimits = LIMITS) -> None:
        self.clock = FakeClock()
        self.store = SteeredStore()
        self.store.make_room(ROOM)
        self.put(35, 31 * DAY_S)
        self.put(5, 29 * DAY_S)
        self.retention = Retention(self.store, self.clock, limits)

    def put(self, count: int, age_s: int) -> None:
        sent_at_us = self.clock.utc_us() - age_s * 1_000_000
        for number in range(count):
            self.store._own.add_message(Draft(f"{age_s}-{number}", ROOM, "ann", "hi", None, sent_at_us, 0), unrelayed_by=None)

    @property
    def left(self) -> int:
        return len(self.store.rooms[ROOM].messages)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.settle()


async def test_messages_go_in_slices_with_pauses_until_all_old_ones_have_gone() -> None:
    scene = Scene()
    scene.retention.start()
    left = []
    for _ in range(6):
        await scene.settle()
        left.append(scene.left)
        await scene.pass_time(0.5)
    assert left == [30, 20, 10, 5, 5, 5]
    calls = scene.store.calls["prune"]
    await scene.pass_time(3500.0)
    assert scene.store.calls["prune"] == calls
    await scene.pass_time(DAY_S)
    await scene.pass_time(0.5)
    assert scene.left == 1  # the rest has grown old, and a room's newest stays
    (pruned,) = scene.retention.figures()
    assert pruned.value == 39
    await scene.retention.close()


async def test_by_default_everything_is_kept() -> None:
    scene = Scene(RetentionLimits())
    scene.retention.start()
    await scene.pass_time(DAY_S)
    assert scene.store.calls["prune"] == 0
    await scene.retention.close()


async def test_what_is_archived_is_kept_elsewhere() -> None:
    scene = Scene(RetentionLimits(days=30, archives=True))
    scene.retention.start()
    await scene.settle()
    assert [message.seq for message in scene.store._own.archive] == list(range(1, 36))
    await scene.retention.close()


async def test_a_store_that_is_down_is_asked_again_in_the_next_round() -> None:
    scene = Scene()
    scene.store.down = True
    scene.retention.start()
    with capture_logs() as lines:
        await scene.settle()
        assert [line["event"] for line in lines] == ["old messages are not taken away yet"]
        scene.store.down = False
        scene.store.lose_answers = 1
        await scene.pass_time(3600.0)
        await scene.pass_time(3600.0)
    for _ in range(4):
        await scene.pass_time(0.5)
    assert scene.left == 5
    await scene.retention.close()


async def test_a_clock_that_has_jumped_takes_nothing_away() -> None:
    scene = Scene()
    scene.clock.set_utc_us(scene.clock.utc_us() + round((400 * DAY_S) * 1_000_000))
    scene.retention.start()
    with capture_logs() as lines:
        await scene.pass_time(10.0)
    assert (scene.left, [line["event"] for line in lines]) == (
        40,
        ["the clock has jumped: nothing is taken away until a restart with the right time"],
    )
    scene.clock.set_utc_us(scene.clock.utc_us() - round((400 * DAY_S - JUMP_S / 2) * 1_000_000))
    await scene.pass_time(3600.0)
    assert scene.left == 30  # it was set right again
    await scene.retention.close()


async def test_it_ends_in_the_middle_of_a_call() -> None:
    scene = Scene()
    hold = scene.store.hold("prune")
    scene.retention.start()
    await hold.reached.wait()
    await scene.retention.close()
    assert scene.left == 40
