"""Both servers are restarted, one after the other, while everybody talks: clients that come back have lost nothing."""

from __future__ import annotations

import asyncio
import random
from contextlib import closing
from pathlib import Path

from tests.torture.crowd import Crowd
from tests.torture.ending import end
from tests.torture.record import Record

from .pair import eventually, pair

ROOMS = 4
MESSAGES_BETWEEN = 200


async def test_a_rolling_restart_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(1)
    with closing(Record(tmp_path)) as record:
        async with pair(tmp_path) as cluster:
            crowd = Crowd(cluster, record, chance, devices=2, every_s=0.05)
            try:
                for _ in range(ROOMS):
                    await crowd.add()
                for member in (*cluster.members, None):
                    await receipts(record, MESSAGES_BETWEEN)
                    if member is not None:
                        await asyncio.to_thread(member.daemon.stop)  # in good order, with nothing to complain of in its log
                        await asyncio.to_thread(member.daemon.start)
                await end(cluster, crowd, record, chance)
            finally:
                await crowd.close()
    assert record.complaints == []
    assert record.counts["recovered:true"] >= ROOMS * 4


async def receipts(record: Record, number: int) -> None:
    """Wait until so many more messages were RECEIPTed."""
    wanted = record.counts["receipts"] + number

    async def are_there() -> bool:
        return record.counts["receipts"] >= wanted

    await eventually(are_there, f"{number} more RECEIPTs")
