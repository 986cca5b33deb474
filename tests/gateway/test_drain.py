"""Who is sent away goes in time, not all at once, and not before the answers to what they sent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from itertools import accumulate
from random import Random

import pytest

from stompgate.gateway.drain import STEP_S, Drain, DrainSettings, Pace
from stompgate.gateway.peer import Peer
from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage
from stompgate.ports.store import Rejected, Stored
from stompgate.stomp.frames import Frame
from stompgate.stomp.states import State

from .scene import RecordingLink, Scene, come

SETTINGS = DrainSettings(window_s=30.0, closes_per_s=200.0, answers_s=5.0)
MESSAGE = ChatMessage("m", "r", 1, "user", "hello", 0, "epoch", 1)
GONE = [Cause.SERVER_STOPPING]


def send(number: int) -> Frame:
    return Frame("SEND", {"destination": "/pub/room/r/message", "receipt": f"r{number}"}, b'{"content":"hello"}')


def closes(left: int, steps_s: Iterable[float], settings: DrainSettings = SETTINGS) -> list[tuple[float, int]]:
    """When how many were closed, with these times between the steps."""
    pace, said = Pace(settings, 0.0), []
    for now_s in accumulate(steps_s, initial=0.0):
        due = pace.due(now_s, left)
        left -= due
        said.append((now_s, due))
        if not left:
            break
    return said


def most_in_a_second(said: list[tuple[float, int]]) -> int:
    return max((sum(due for at_s, due in said if start_s <= at_s < start_s + 1) for start_s, _ in said), default=0)


# The pace


def test_five_thousand_go_in_thirty_seconds_and_never_more_than_250_in_one() -> None:
    said = closes(5000, [STEP_S] * 1000)
    assert sum(due for _, due in said) == 5000
    assert said[-1][0] <= 30
    assert most_in_a_second(said) <= 250


@pytest.mark.parametrize("seed", range(20))
def test_a_loop_that_comes_as_it_can_makes_no_burst(seed: int) -> None:
    chance = Random(seed)
    left, mean_s = chance.randint(0, 5000), chance.uniform(0.02, 0.13)
    said = closes(left, [chance.uniform(0.5, 1.5) * mean_s for _ in range(5000)])
    assert sum(due for _, due in said) == left
    assert said[-1][0] <= 30
    assert most_in_a_second(said) <= 250


def test_what_a_stall_missed_is_not_made_up_for_at_once() -> None:
    said = closes(4000, [*[STEP_S] * 100, 3.0, *[STEP_S] * 1000])
    assert sum(due for _, due in said) == 4000
    assert said[-1][0] <= 30
    assert most_in_a_second(said) <= 250


def test_few_go_at_once() -> None:
    assert closes(5, [STEP_S] * 10) == [(0.0, 5)]


def test_so_many_that_the_window_is_too_short_for_the_pace_go_evenly_over_it() -> None:
    said = closes(12_000, [STEP_S] * 1000)
    assert sum(due for _, due in said) == 12_000
    assert 29 <= said[-1][0] <= 30 + STEP_S
    assert most_in_a_second(said[:-2]) <= 1.25 * 12_000 / 30


def test_at_the_end_of_the_window_all_go() -> None:
    assert closes(10, [31.0], DrainSettings(window_s=30, closes_per_s=0.001)) == [(0.0, 0), (31.0, 10)]


def test_the_first_step_is_like_the_others() -> None:
    said = closes(200, [STEP_S] * 100)
    assert {due for _, due in said[:-1]} <= {9, 10, 11}
    assert said[0][1] >= 9


# The drain


async def drive(scene: Scene, drain: Coroutine[None, None, None], seconds: float) -> asyncio.Task[None]:
    """Run a drain for so long."""
    running = asyncio.create_task(drain)
    for _ in range(round(seconds / STEP_S)):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        scene.pass_s(STEP_S)
    for _ in range(5):
        await asyncio.sleep(0)
    return running


def closed(peers: Iterable[tuple[Peer, RecordingLink]]) -> int:
    return sum(link.closes == GONE for _, link in peers)


async def test_everyone_is_told_to_come_back_at_the_pace_and_without_an_error() -> None:
    scene = Scene()
    peers = [scene.peer() for _ in range(100)]
    running = await drive(scene, Drain(scene.gate, DrainSettings(closes_per_s=50)).run(), 1.0)
    assert 40 <= closed(peers) <= 60
    assert not running.done()
    scene_rest = await drive(scene, asyncio.wait_for(running, None), 1.1)
    assert scene_rest.done()
    assert closed(peers) == 100
    assert all(link.frames() == [] for _, link in peers)


async def test_who_waits_for_their_turn_is_served_as_usual() -> None:
    scene = Scene()
    first, second = scene.peer(), scene.peer()
    running = await drive(scene, Drain(scene.gate, DrainSettings(closes_per_s=1)).run(), 1.1)
    (link, peer) = next((link, peer) for peer, link in (first, second) if link.closes == [])
    come(peer, send(1))
    scene.intake.answer(Stored(MESSAGE, repeated=False))
    assert [frame.headers["receipt-id"] for frame in link.frames()] == ["r1"]
    await drive(scene, asyncio.wait_for(running, None), 1.1)
    assert closed((first, second)) == 2


async def test_who_is_sent_away_first_gets_the_receipts_of_what_the_store_has() -> None:
    scene = Scene()
    peer, link = scene.peer(send(1), send(2))
    running = await drive(scene, Drain(scene.gate, SETTINGS).run(), 1.0)
    come(peer, send(3))
    assert link.closes == []
    assert len(scene.intake.waiting) == 2, "what comes after that is not taken"
    scene.intake.answer(Stored(MESSAGE, repeated=False))
    scene.intake.answer(Stored(MESSAGE, repeated=False))
    await drive(scene, asyncio.wait_for(running, None), 0.1)
    assert [frame.headers["receipt-id"] for frame in link.frames()] == ["r1", "r2"]
    assert link.closes == GONE


async def test_a_frame_that_is_held_is_done_with_before_the_close() -> None:
    """Two SENDs are with the store; DISCONNECT waits for their answers, and gets its own."""
    scene = Scene(sends_in_flight=3)
    _, link = scene.peer(send(1), send(2), Frame("DISCONNECT", {"receipt": "bye"}))
    running = await drive(scene, Drain(scene.gate, SETTINGS).run(), 1.0)
    scene.intake.answer(Stored(MESSAGE, repeated=False))
    scene.intake.answer(Stored(MESSAGE, repeated=False))
    rest = await drive(scene, asyncio.wait_for(running, None), 0.1)
    assert rest.done()
    assert [frame.headers["receipt-id"] for frame in link.frames()] == ["r1", "r2", "bye"]


async def test_an_error_that_is_due_comes_before_the_close() -> None:
    scene = Scene()
    _, link = scene.peer(send(1))
    running = await drive(scene, Drain(scene.gate, SETTINGS).run(), 0.5)
    scene.intake.answer(Rejected(Cause.STORE_UNAVAILABLE))
    rest = await drive(scene, asyncio.wait_for(running, None), 0.1)
    assert rest.done()
    assert [frame.command for frame in link.frames()] == ["ERROR"]
    assert link.closes == [Cause.STORE_UNAVAILABLE]


async def test_a_store_that_does_not_answer_keeps_nobody_for_ever() -> None:
    scene = Scene()
    _, link = scene.peer(send(1))
    running = await drive(scene, Drain(scene.gate, SETTINGS).run(), SETTINGS.answers_s - 0.2)
    assert link.closes == []
    rest = await drive(scene, asyncio.wait_for(running, None), 0.4)
    assert link.closes == GONE
    assert rest.done()
    scene.intake.answer(Stored(MESSAGE, repeated=False))
    await asyncio.sleep(0)
    assert link.frames() == [], "nothing after the close"


async def test_who_leaves_meanwhile_takes_nobodys_turn_and_is_not_waited_for() -> None:
    scene = Scene()
    peers = [scene.peer() for _ in range(20)]
    waits, _ = scene.peer(send(1))
    drain = Drain(scene.gate, DrainSettings(closes_per_s=10)).run()
    for peer, _ in peers[:10]:
        peer.lost(Cause.PEER_LEFT)
    peers[10][0].fail(Refusal(Cause.BROKEN_FRAME))
    running = await drive(scene, drain, 1.3)
    assert closed(peers[10:]) == 9
    waits.lost(Cause.PEER_LEFT)
    rest = await drive(scene, asyncio.wait_for(running, None), 0.2)
    assert rest.done()
    assert waits.state is not State.CLOSING or waits.is_gone
    scene.intake.answer(Stored(MESSAGE, repeated=False))
    await asyncio.sleep(0)


async def test_who_comes_when_all_are_closed_is_closed_too() -> None:
    scene = Scene()
    scene.gate.close_all(Cause.SERVER_STOPPING)
    link = RecordingLink(scene.clock)
    scene.gate.attach(link)
    await asyncio.sleep(0)
    assert link.closes == GONE
