"""The simulated world: servers over one store and one relay, clients, and a clock that stands still. One seed decides all
that happens; nothing here knows real time."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from random import Random
from typing import Any

from stompgate.model.causes import Cause
from stompgate.ports.store import LEASE_S, Lease
from tests.bad_relay import BadRelayHub
from tests.fakes import FakeClock
from tests.memory_store import MemoryRows, Row

from .client import Client, Connection, Saying
from .server import SimulatedServer
from .store_calls import StoreCalls
from .violations import demand

_TURNS = 20_000
"""More turns of the loops than any honest step takes."""


@dataclass(slots=True)
class Figures:
    """What happened, counted."""

    schedules: int = 0
    steps: int = 0
    stored: int = 0
    delivered: int = 0
    receipts: int = 0
    sent_again: int = 0
    crashes: int = 0
    cuts: int = 0
    recovered: int = 0
    not_recovered: int = 0
    removals: int = 0
    pruned: int = 0

    def add(self, other: Figures) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, one.name)} {one.name.replace('_', ' ')}" for one in fields(self))


class World:
    """Everything, made from one seed. ``retention`` draws for itself, so that a world without pruning is as it would be."""

    def __init__(self, seed: int, *, prunes: bool) -> None:
        self.random = random = Random(seed)
        self.retention = Random(f"retention {seed}")
        self.pruned_per_step = self.retention.choice((0.0, 0.1, 0.5)) if prunes else 0.0
        self.clock = FakeClock()
        self.mishaps: list[str] = []
        self.trace: list[str] = []
        self.figures = Figures(schedules=1)
        self.rows = MemoryRows(clock=self.clock)
        self.hub = BadRelayHub(is_honest=False)
        self.calls = StoreCalls(random, faults=random.choice((0.0, 0.05, 0.3)))
        self.missed_limit = random.choice((3, 20, 1000))
        self.users = [f"u{n}" for n in range(random.randint(2, 4))]
        self.room_ids = [f"room-{n}" for n in range(random.randint(1, 3))]
        for room in self.room_ids:
            self.rows.make_room(room, ("", "", room), [(user, "") for user in self.users])
        self.clients = [Client(f"c{n}", random.choice(self.users)) for n in range(random.randint(2, 6))]
        self.lives: dict[str, int] = {}
        self.servers: dict[str, SimulatedServer | None] = {f"server-{n}": None for n in range(1, random.randint(1, 3) + 1)}
        self.connections: list[Connection] = []
        for server_id in self.servers:
            self.start(server_id)

    # Servers

    @property
    def up(self) -> list[SimulatedServer]:
        return [server for server in self.servers.values() if server is not None]

    def start(self, server_id: str) -> SimulatedServer:
        life = self.lives[server_id] = self.lives.get(server_id, 0) + 1
        server = self.servers[server_id] = SimulatedServer(self, server_id, life)
        server.start()
        return server

    def crash(self, server: SimulatedServer) -> None:
        """Power off: nothing is closed, nothing is said."""
        self.figures.crashes += 1
        self.servers[server.id] = None
        self.hub.forget(server.relay)
        self.calls.crash(server.id)
        server.loop.die()
        for connection in self.connections:
            if connection.server is server:
                connection.over()
        self.connections = [one for one in self.connections if one.server is not server]

    # Clients

    def connect(self, client: Client, server: SimulatedServer) -> Connection:
        connection = client.connection = Connection(self, client, server, self.random.choice((1, 300, 100_000)))
        self.connections.append(connection)
        return connection

    # What everybody knows

    def last_seq(self, room: str) -> int:
        return len(self.rows.rooms[room].rows)

    def row(self, room: str, seq: int) -> Row | None:
        rows = self.rows.rooms[room].rows
        return rows[seq - 1] if 1 <= seq <= len(rows) else None

    def is_pruned(self, room: str, seq: int) -> bool:
        return seq <= self.rows.rooms[room].pruned

    def is_deleted(self, room: str) -> bool:
        return self.rows.rooms[room].deleted

    def is_member(self, room: str, user: str) -> bool:
        return not self.is_deleted(room) and user in self.rows.rooms[room].users

    def stored(self, sender: str, saying: Saying) -> int:
        """How many rows a saying has."""
        rows = self.rows.rooms[saying.room].rows
        return sum(row.message.content == saying.content and row.message.sender == sender for row in rows)

    def judge_receipt(self, client: Client, saying: Saying) -> None:
        self.figures.receipts += 1
        demand(self.stored(client.user, saying) == 1, "what has a RECEIPT is stored once", client.name, saying.content)

    # Time and turns

    def settle(self) -> None:
        """Let the servers run until nothing is ready, and the clients that read read."""
        self._renew_leases()
        turns = 0
        busy = True
        while busy:
            busy = False
            for server in self.up:
                busy |= server.loop.run_ready() > 0
            for connection in self.connections:
                if connection.is_reading:
                    busy |= connection.read(1_000_000)
            turns += 1
            demand(turns < _TURNS, "the servers come to rest")
        demand(not self.mishaps, "nothing goes wrong unnoticed", *self.mishaps[:3])

    def _renew_leases(self) -> None:
        """Who lives has a lease; the rows that a dead server owes are for the others, once its own has run out."""
        for server in self.up:
            lease = Lease(f"{server.id} in life {self.lives[server.id]}", self.clock.utc_us() + round(LEASE_S * 1_000_000))
            self.rows.leases[server.id] = lease

    def close_links(self) -> None:
        """End the connections that a server has closed, those at last whose clients don't read."""
        for connection in list(self.connections):
            cause = connection.link.closing
            if cause is not None:
                if connection.is_reading:
                    connection.read(1_000_000)
                self.lose(connection, cause)

    def lose(self, connection: Connection, cause: Cause) -> None:
        connection.over()
        connection.link.end(cause)
        self.connections.remove(connection)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for server in self.up:
            server.turn_wheel()

    def advance_to_next(self, until_s: float = math.inf) -> bool:
        moved = self.clock.advance_to_next(until_s)
        for server in self.up:
            server.turn_wheel()
        return moved

    def close(self) -> None:
        """Let go of everything."""
        for server in self.up:
            server.loop.die()
        for server in self.up:
            self.servers[server.id] = None


def pick(world: World, among: list[Any]) -> Any:
    """One of them by lot, None of none."""
    return world.random.choice(among) if among else None
