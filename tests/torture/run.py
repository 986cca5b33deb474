"""One run: a daemon, rooms with senders and receivers, kills at random, and the verdict."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.daemon_process import Daemon
from tests.wire_client import make_room

from .clients import Receiver, Sender, drop_at_random
from .record import Record, RoomRecord, complaints

_SETTLE_S = 30.0
_POLL_S = 0.02

History = list[tuple[int, str]]


@dataclass(frozen=True)
class Plan:
    """What is done. Each room has two senders, who send every ``every_s``, and ``receivers`` of each of the two users."""

    seed: int
    kills: int
    drops: int = 0
    rooms: int = 3
    receivers: int = 2
    every_s: float = 0.005


async def run(plan: Plan, folder: Path, tell: Callable[[str], None]) -> tuple[Record, list[str]]:
    """Carry out a plan with the daemon's data in ``folder``. Returns the record and what is wrong."""
    daemon = Daemon(folder)
    try:
        await asyncio.to_thread(daemon.start)
        record, history = await _torture(plan, daemon, tell)
        await asyncio.to_thread(daemon.stop)
    finally:
        daemon.put_down()
    return record, complaints(record, history)


async def _torture(plan: Plan, daemon: Daemon, tell: Callable[[str], None]) -> tuple[Record, dict[str, History]]:
    chance, record, url = random.Random(plan.seed), Record(), daemon.ws_url
    for _ in range(plan.rooms):
        record.rooms[await make_room(daemon.url)] = RoomRecord()
    seats = [(room, user) for room in record.rooms for user in ("buyer", "seller")]
    senders = [Sender(url, user, room, record, plan.every_s) for room, user in seats]
    receivers = [Receiver(url, user, room, f"{user}-{n}", record) for room, user in seats for n in range(plan.receivers)]
    going = [asyncio.create_task(client.go_on()) for client in [*receivers, *senders]]
    try:
        await _until(lambda: all(receiver.has_begun for receiver in receivers), "all receivers subscribed")
        drops = drop_at_random(receivers, record, plan.drops, chance)
        await asyncio.gather(_kill(daemon, plan, record, chance, tell), drops)
        for sender in senders:
            sender.is_sending = False
        await _until(lambda: all(sender.has_all_receipts for sender in senders), "every SEND is RECEIPTed")
        await _until(lambda: all(receiver.is_up_to_date for receiver in receivers), "receivers are up to date")
        return record, {room: await _history(daemon.url, room) for room in record.rooms}
    finally:
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)


async def _kill(daemon: Daemon, plan: Plan, record: Record, chance: random.Random, tell: Callable[[str], None]) -> None:
    for number in range(plan.kills):
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        await asyncio.to_thread(daemon.kill)
        record.kills += 1
        await asyncio.to_thread(daemon.start_again)
        if (number + 1) % 10 == 0:
            tell(f"{number + 1} kills, {sum(len(room.receipted) for room in record.rooms.values())} RECEIPTs")


async def _history(url: str, room: str) -> History:
    async with httpx.AsyncClient(trust_env=False, timeout=_SETTLE_S) as http:
        answer = await http.get(f"{url}/chat/room/{room}", headers={"X-Auth-User": "buyer"})
    answer.raise_for_status()
    return [(entry["seq"], entry["content"]) for entry in answer.json()]


async def _until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(_SETTLE_S):
            while not holds():  # noqa: ASYNC110 (several clients, no one event)
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise AssertionError(f"not within {_SETTLE_S:g} s: {what}") from None
