"""One run: a cluster, a crowd, troubles for a while, and the verdict."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.daemon_process import Sections

from .cluster import Cluster, one_server, several_servers
from .crowd import Crowd
from .ending import end
from .queues import QueueCrowd
from .record import Record
from .troubles import Troubles, table_of

_BEGIN_S = 90.0
_END_S = 600.0
_TELL_EVERY_S = 10.0
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done. Without ``servers`` it is one with SQLite. ``brokers``: of Kafka. The ``…_every_s`` are averages, of each
    sender one.

    ``least``: counts without which a run would have shown nothing. On a slow machine it goes on until they are reached.
    """

    seed: int
    minutes: float
    servers: int = 2
    brokers: int = 1
    rooms: int = 6
    devices: int = 2
    send_every_s: float = 0.15
    trouble_every_s: float = 1.0
    drop_every_s: float = 0.5
    delete_every_s: float = 15.0
    least: Mapping[str, int] = field(default_factory=dict)


async def run(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Record:
    """Carry out a plan with all data in ``folder``. What happened, and what is wrong, is in the record."""
    chance = random.Random(plan.seed)
    with closing(Record(folder)) as record:
        async with _cluster(plan, folder, record) as cluster, asyncio.TaskGroup() as tasks:
            keepers = [tasks.create_task(member.keep(), name=f"{member.name} is kept") for member in cluster.members]
            keepers.append(tasks.create_task(_tell(record, tell), name="tells"))
            try:
                await _torture(plan, cluster, record, chance)
            finally:
                for keeper in keepers:
                    keeper.cancel()
    return record


async def _torture(plan: Plan, cluster: Cluster, record: Record, chance: random.Random) -> None:
    loop = asyncio.get_running_loop()
    crowd = Crowd(cluster, record, chance, devices=plan.devices, every_s=plan.send_every_s)
    queues = QueueCrowd(cluster, record, chance, every_s=plan.send_every_s)
    try:
        async with asyncio.timeout(_BEGIN_S):
            for _ in range(plan.rooms):
                await crowd.add()
            while not crowd.has_begun:  # noqa: ASYNC110 (many clients, no one event)
                await asyncio.sleep(_POLL_S)
        queues.begin()
        troubles = Troubles(table_of(cluster, chance), record, chance, plan.trouble_every_s)
        async with asyncio.timeout(plan.minutes * 60 + _END_S):
            has_shown_enough = False
            while not has_shown_enough:
                until_s = loop.time() + plan.minutes * 60
                await asyncio.gather(
                    troubles.go_on(until_s),
                    crowd.drop_now_and_then(plan.drop_every_s, until_s),
                    crowd.delete_now_and_then(plan.delete_every_s, until_s),
                    queues.drop_now_and_then(plan.drop_every_s, until_s),
                )
                has_shown_enough = all(record.counts[name] >= number for name, number in plan.least.items())
            await queues.end()
            await queues.close()  # nobody is to be seen as connected at the end but the crowd
            await end(cluster, crowd, record, chance)
    finally:
        await asyncio.gather(crowd.close(), queues.close())


@asynccontextmanager
async def _cluster(plan: Plan, folder: Path, record: Record) -> AsyncIterator[Cluster]:
    # A stop waits for clients who poll, and each of these that was dropped does it no more.
    settings: Sections = {"http": {"operators": ["*"]}, "sockjs": {"disconnect_delay_s": 1.0}}
    several = several_servers(folder, plan.servers, record, settings, plan.brokers)
    async with several if plan.servers > 0 else one_server(folder, record, settings) as cluster:
        yield cluster


async def _tell(record: Record, tell: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        tell(record.figures())
