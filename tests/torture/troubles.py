"""What happens to a cluster: one table of troubles, of which a seed chooses, each at a target that has none at the moment.

A trouble heals what it broke before it ends, so that in the end only its time is over, and nobody has to tidy up.
"""

from __future__ import annotations

import asyncio
import math
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.proxy import BOTH_WAYS, Proxy, Way
from tests.services import Service

from .cluster import Cluster
from .member import Member
from .record import Record

_TROUBLES_AT_ONCE = 4
_LEASE_S = 15.0


@dataclass(frozen=True)
class Trouble:
    """A trouble that may come. ``target``: of two with the same only one comes at a time. ``weight``: how likely it is."""

    name: str
    target: str
    weight: float
    act: Callable[[], Awaitable[None]]


class Troubles:
    """Brings troubles over a cluster, ``every_s`` seconds apart on average, as the seed will have it."""

    def __init__(self, table: Sequence[Trouble], record: Record, chance: random.Random, every_s: float) -> None:
        self._table = table
        self._record = record
        self._chance = chance
        self._every_s = every_s
        self._troubled: set[str] = set()

    async def go_on(self, until_s: float) -> None:
        """Bring them until that time of the loop, then wait until the last has healed."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while (left_s := until_s - loop.time()) > 0:
                await asyncio.sleep(min(left_s, self._chance.expovariate(1 / self._every_s)))
                possible = [trouble for trouble in self._table if trouble.target not in self._troubled]
                if possible and len(self._troubled) < _TROUBLES_AT_ONCE:
                    weights = [trouble.weight for trouble in possible]
                    tasks.create_task(self._bring(self._chance.choices(possible, weights)[0]))

    async def _bring(self, trouble: Trouble) -> None:
        self._troubled.add(trouble.target)
        self._record.troubles[trouble.name] += 1
        self._record.note(f"TROUBLE {trouble.name} at {trouble.target}")
        try:
            await trouble.act()
        finally:
            self._troubled.discard(trouble.target)
            self._record.note(f"healed {trouble.name} at {trouble.target}")


def table_of(cluster: Cluster, chance: random.Random) -> list[Trouble]:
    """All that can happen to a cluster."""
    table: list[Trouble] = []
    for member in cluster.members:
        table += _of_server(member, cluster, chance)
        table += _of_link(f"door of {member.name}", "door", member.door, chance)
        table += _of_link(f"TCP door of {member.name}", "TCP door", member.tcp_door, chance)
        for name, link in member.links.items():
            table += _of_link(f"{name} link of {member.name}", "link", link, chance)
    for service in cluster.services.values():
        table += _of_service(service, chance)
    return table


def _of_server(member: Member, cluster: Cluster, chance: random.Random) -> list[Trouble]:
    def trouble(name: str, weight: float, act: Callable[[], Awaitable[None]]) -> Trouble:
        return Trouble(f"server {name}", member.name, weight, act)

    async def end_by(number: signal.Signals) -> None:
        await member.end_by(number)
        for _ in range(round(3 * _LEASE_S * 10)):  # until it serves again; if its database is away, not that long
            if member.is_ready:
                return
            await asyncio.sleep(0.1)

    found = [
        trouble("kill -9", 4, lambda: end_by(signal.SIGKILL)),
        trouble("SIGTERM", 4, lambda: end_by(signal.SIGTERM)),
        trouble("pause", 4, lambda: member.pause(between(0.1, 4.0, chance))),
    ]
    if len(cluster.members) > 1:
        found.append(trouble("pause past its lease", 0.5, lambda: member.pause(_LEASE_S + chance.uniform(0.5, 4.0))))
        found.append(trouble("paused while another takes its id", 0.5, member.usurp))
    return found


def _of_service(service: Service, chance: random.Random) -> list[Trouble]:
    def trouble(name: str, weight: float, act: Callable[[], Awaitable[None]]) -> Trouble:
        return Trouble(f"{service.name} {name}", service.name, weight, act)

    async def away(end: Callable[[], None]) -> None:
        await asyncio.to_thread(end)
        await asyncio.sleep(between(0.05, 6.0, chance))
        await asyncio.to_thread(service.start)

    async def pause() -> None:
        service.pause()
        await asyncio.sleep(between(0.1, 8.0, chance))
        service.resume()

    found = [
        trouble("kill -9", 2, lambda: away(service.kill)),
        trouble("stop", 2, lambda: away(service.stop)),
        trouble("pause", 3, pause),
    ]
    if service.name == "Redis":
        found.append(trouble("FLUSHALL", 1, lambda: flush_all(service)))
    return found


def _of_link(target: str, kind: str, link: Proxy, chance: random.Random) -> list[Trouble]:
    def trouble(name: str, weight: float, act: Callable[[], Awaitable[None]]) -> Trouble:
        return Trouble(f"{kind} {name}", target, weight, act)

    async def cut() -> None:
        link.cut()

    async def cut_amid() -> None:
        link.cut_after_bytes(chance.choice(list(Way)), chance.randint(1, 20_000))
        await asyncio.sleep(between(0.2, 2.0, chance))
        link.heal()

    async def refuse() -> None:
        await link.refuse()
        await asyncio.sleep(between(0.2, 5.0, chance))
        await link.allow()

    async def delay() -> None:
        link.delay_s = between(0.005, 0.5, chance)
        await asyncio.sleep(between(0.5, 6.0, chance))
        link.heal()

    async def hold() -> None:
        link.held = chance.choice([BOTH_WAYS, *(frozenset({way}) for way in Way)])
        await asyncio.sleep(between(0.2, 8.0, chance))
        link.heal()

    async def swallow() -> None:
        link.swallowed = chance.choice([BOTH_WAYS, *(frozenset({way}) for way in Way)])
        await asyncio.sleep(between(0.2, 8.0, chance))
        link.heal()

    return [
        trouble("cut", 0.6, cut),
        trouble("cut amid bytes", 0.6, cut_amid),
        trouble("refused", 0.4, refuse),
        trouble("delayed", 0.4, delay),
        trouble("held", 0.4, hold),
        trouble("swallowed", 0.4, swallow),
    ]


def between(low: float, high: float, chance: random.Random) -> float:
    """A number between the two; short ones are as likely as long ones."""
    return math.exp(chance.uniform(math.log(low), math.log(high)))


async def flush_all(redis: Service) -> None:
    """Let Redis forget everything."""
    reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
    writer.write(b"FLUSHALL\r\n")
    await reader.readline()
    writer.close()
    await writer.wait_closed()
