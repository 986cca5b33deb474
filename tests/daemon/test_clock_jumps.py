"""The time of day is set, back and forth: messages keep their order and bear what the clock said, and no time-out moves."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path

import pytest

from stompgate.model.causes import Cause
from tests.wire_client import connected, make_room

from .in_process import serving

HOUR_US = 3_600_000_000
JUMPS_US = (0, HOUR_US, -HOUR_US, 24 * HOUR_US, 0)
HASTY = {
    "time_zone": "UTC",
    "stomp": {"heart_beat_send_ms": 200, "heart_beat_receive_ms": 500, "heart_beat_grace_floor_s": 1.5},
}


def read_time_us(text: str) -> int:
    """Microseconds since 1970 of a time as messages bear it."""
    return round(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1_000_000)


async def test_messages_keep_their_order_and_bear_what_the_clock_said(tmp_path: Path) -> None:
    async with serving(tmp_path, HASTY) as server:
        room = await make_room(server.url)
        async with connected(server.ws_url, "buyer") as sender, connected(server.ws_url, "seller") as reader:
            begun = await reader.subscribe(f"/sub/chat/room/{room}")
            said_us: list[int] = []
            for number, jump_us in enumerate(JUMPS_US):
                server.clock.ahead_us = jump_us
                said_us.append(server.clock.utc_us())
                await sender.send(f"/pub/room/{room}/message", f'{{"content":"{number}"}}')
            live = [json.loads((await reader.expect("MESSAGE")).body) for _ in JUMPS_US]
        async with connected(server.ws_url, "seller") as again:
            receipt = await again.subscribe(f"/sub/chat/room/{room}", since=begun.headers["position"])
            assert receipt.headers["recovered"] == "true"
            assert [json.loads((await again.expect("MESSAGE")).body) for _ in JUMPS_US] == live
    assert [message["seq"] for message in live] == list(range(1, len(JUMPS_US) + 1))
    assert [message["content"] for message in live] == [str(number) for number in range(len(JUMPS_US))]
    for message, earliest_us in zip(live, said_us, strict=True):
        assert 0 <= read_time_us(message["timestamp"]) - earliest_us < 20_000_000


@pytest.mark.parametrize("jump_us", [HOUR_US, -HOUR_US])
async def test_no_time_out_moves_with_the_time_of_day(tmp_path: Path, jump_us: int) -> None:
    async with serving(tmp_path, HASTY) as server:
        async with (
            connected(server.ws_url, heart_beat="500,200") as alive,
            connected(server.ws_url, heart_beat="500,0") as silent,
        ):
            begun_s = server.loop.time()
            server.clock.ahead_us = jump_us
            refused = asyncio.create_task(silent.refused())
            while not refused.done():
                await alive.write("\n")
                await asyncio.sleep(0.1)
            assert (await refused).code == Cause.HEARTBEAT_LOST.code
            assert server.loop.time() - begun_s > 1  # not early; and within the test's deadline, not an hour late
            await alive.heart_beat()
            await alive.send("/topic/any", "still here")
        assert server.server.gate.closes[Cause.HEARTBEAT_LOST] == 1
