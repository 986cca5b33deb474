"""The crowd: rooms of two users with several devices each, that drop and come back, and rooms that are deleted under load."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.wire_client import make_room

from .clients import Client, Receiver, Sender, Witness
from .cluster import NO_ANSWER, Cluster
from .record import REMOVAL_GRACE_S, Record, RoomRecord
from .transactions import Trader

T = TypeVar("T")

_DEPARTURES_TOPIC = "user-delete"
_TRY_AGAIN_S = 0.5
_ASK_S = 5.0
_TRADE_EVERY = 3.0
"""A transaction comes so much less often than a message."""
_RETIRE_AFTER_S = REMOVAL_GRACE_S + 10.0


@dataclass
class Party:
    """A room and the devices in it."""

    room: RoomRecord
    buyer: str
    senders: list[Sender]
    receivers: list[Receiver]
    tasks: list[asyncio.Task[None]]

    @property
    def clients(self) -> list[Client]:
        """All devices."""
        return [*self.senders, *self.receivers]


class Crowd:
    """All parties. ``devices``: receivers of each of a room's two users. Close it: its clients end with it."""

    def __init__(self, cluster: Cluster, record: Record, chance: random.Random, *, devices: int, every_s: float) -> None:
        self._cluster = cluster
        self._record = record
        self._chance = chance
        self._devices = devices
        self._every_s = every_s
        self._number = 0
        self._foreign = RoomRecord(str(uuid4()))
        self._retiring: set[asyncio.Task[None]] = set()
        self.parties: list[Party] = []
        nowhere = RoomRecord("")
        self.witnesses = [
            Witness([door], f"witness{n}@torture/w", nowhere, record, chance) for n, door in enumerate(cluster.doors, 1)
        ]
        self._witnessing = [asyncio.create_task(witness.go_on(), name=witness.who) for witness in self.witnesses]

    @property
    def users(self) -> set[str]:
        """Everyone who is to be seen as connected."""
        return {client.user for client in (*self.witnesses, *(client for party in self.parties for client in party.clients))}

    @property
    def has_begun(self) -> bool:
        """Whether every receiver has its place in its room."""
        return all(receiver.chain.has_begun for party in self.parties for receiver in party.receivers)

    async def close(self) -> None:
        """End all clients."""
        tasks = [*self._witnessing, *self._retiring, *(task for party in self.parties for task in party.tasks)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def add(self) -> Party:
        """Make a room and put its devices into it."""
        self._number += 1
        users = {"buyer": f"b{self._number}@torture", "seller": f"s{self._number}@torture"}
        product = f"product {self._number}"

        room = await self._room(users["buyer"], users["seller"], product)
        annex = await self._room(f"a{self._number}@torture", users["seller"], product)
        doors, record, chance = self._cluster.ways_in, self._record, self._chance
        senders = [Sender(doors, f"{user}/s", room, record, chance, self._every_s) for user in users.values()]
        rooms = (room, annex, self._foreign)
        senders.append(Trader(doors, f"{users['seller']}/t", rooms, record, chance, _TRADE_EVERY * self._every_s))
        self._foreign = annex
        receivers = [
            Receiver(doors, f"{user}/r{n}", room, record, chance) for user in users.values() for n in range(self._devices)
        ]
        party = Party(room, users["buyer"], senders, receivers, [])
        party.tasks += [asyncio.create_task(client.go_on(), name=client.who) for client in party.clients]
        self.parties.append(party)
        return party

    async def _room(self, buyer: str, seller: str, product: str) -> RoomRecord:
        uuid = await self._anywhere(lambda url: make_room(url, buyer, seller, product))
        return self._record.rooms.setdefault(uuid, RoomRecord(uuid))

    # What they do by themselves

    async def drop_now_and_then(self, every_s: float, until_s: float) -> None:
        """Cut one device after the other, until that time of the loop."""
        while await self._wait(every_s, until_s):
            clients = [client for party in self.parties for client in party.clients]
            if clients:
                self._chance.choice(clients).cut.set()
                self._record.troubles["client dropped"] += 1

    async def delete_now_and_then(self, every_s: float, until_s: float) -> None:
        """Delete a room, and open another in its place, until that time of the loop."""
        while await self._wait(every_s, until_s):
            party = self._chance.choice(self.parties)
            by_record = self._cluster.brokers != [] and self._chance.random() < 0.5
            await self._delete(party, by_record=by_record)
            self.parties.remove(party)
            task = asyncio.create_task(self._retire(party), name=f"{party.room.uuid} retires")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
            await self.add()

    async def _wait(self, every_s: float, until_s: float) -> bool:
        """Wait for the next of what comes every so many seconds on average. False: none comes before that time."""
        loop = asyncio.get_running_loop()
        left_s = until_s - loop.time()
        await asyncio.sleep(max(0.0, min(left_s, self._chance.expovariate(1 / every_s))))
        return loop.time() < until_s

    async def _delete(self, party: Party, *, by_record: bool) -> None:
        room = party.room
        room.doomed = True
        self._record.note(f"delete {room.uuid} by {'record' if by_record else 'REST'}")
        if by_record:
            await self._announce_departure(party.buyer)
            self._record.troubles["user deleted"] += 1
            await self._anywhere(lambda url: _wait_until_gone(url, room.uuid, party.buyer))
        else:
            self._record.troubles["room deleted"] += 1
            await self._anywhere(lambda url: _delete(url, room.uuid, party.buyer))
        room.gone_s = time.monotonic()
        self._record.note(f"gone {room.uuid}")

    async def _announce_departure(self, user: str) -> None:
        while True:
            producer = AIOKafkaProducer(bootstrap_servers=self._cluster.brokers, request_timeout_ms=3000)
            try:
                async with asyncio.timeout(_ASK_S):
                    await producer.start()
                    await producer.send_and_wait(_DEPARTURES_TOPIC, user.encode())
                return
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(_TRY_AGAIN_S)
            finally:
                with suppress(KafkaError, OSError, TimeoutError):
                    async with asyncio.timeout(_ASK_S):
                        await producer.stop()

    async def _retire(self, party: Party) -> None:
        await asyncio.sleep(_RETIRE_AFTER_S)
        for task in party.tasks:
            task.cancel()
        await asyncio.gather(*party.tasks, return_exceptions=True)

    async def _anywhere(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """Ask a server at random, and another one until an answer comes."""
        while True:
            door = self._chance.choice(self._cluster.doors)
            try:
                async with asyncio.timeout(_ASK_S):
                    return await ask(door.replace("ws:", "http:", 1).removesuffix("/ws-stomp"))
            except (*NO_ANSWER, AssertionError):
                await asyncio.sleep(_TRY_AGAIN_S)


async def _delete(url: str, room: str, user: str) -> None:
    """Delete a room. One that is not there any more was deleted by a request whose answer was lost."""
    async with httpx.AsyncClient(trust_env=False, timeout=_ASK_S) as http:
        answer = await http.delete(f"{url}/room/delete/{room}", headers={"X-Auth-User": user})
    assert answer.status_code in (200, 404), answer.text


async def _wait_until_gone(url: str, room: str, user: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=_ASK_S) as http:
        answer = await http.get(f"{url}/room/{room}", headers={"X-Auth-User": user})
    assert answer.status_code == 404, answer.text
