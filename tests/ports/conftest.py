"""Who stands behind each port. An entry here puts an implementation under the port's whole suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from stompgate.mail.log import LogMail
from stompgate.ports.mail import Mail
from stompgate.ports.relay import Relay
from stompgate.ports.sessions import Sessions
from stompgate.ports.store import Store
from stompgate.relays.local import LocalHub, LocalRelay
from stompgate.sessions.memory import MemorySessions
from stompgate.sessions.redis_url import from_url as redis_sessions
from stompgate.settings import Redis
from stompgate.stores.sqlite import SqliteStore
from stompgate.system_clock import SystemClock
from tests.bad_relay import BadRelay, BadRelayHub
from tests.fakes import FakeClock
from tests.memory_store import MemoryRows, MemoryStore
from tests.services import Services


class StoreHome(Protocol):
    """Data that a store can be opened on, closed, and opened on again."""

    async def open(self) -> Store: ...

    async def close(self) -> None: ...


class SqliteHome:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "chat.db"
        self._store: SqliteStore | None = None

    async def open(self) -> Store:
        await self.close()
        store = SqliteStore(self._path, server_id="server-1")
        await store.open()
        self._store = store
        return store

    async def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.close()


class MemoryHome:
    def __init__(self, folder: Path) -> None:
        self._rows = MemoryRows()

    async def open(self) -> Store:
        return MemoryStore(self._rows, server_id="server-1")

    async def close(self) -> None:
        pass


class StoreGroup(Protocol):
    """Data that several servers share. The clock of the database is the test's."""

    clock: FakeClock

    async def open(self, server_id: str) -> Store: ...

    async def close(self) -> None: ...

    async def expires_in(self, server_id: str, seconds: float) -> None:
        """Write another expiry into a lease."""


class MemoryGroup:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self._rows = MemoryRows(clock=self.clock)

    async def open(self, server_id: str) -> Store:
        return MemoryStore(self._rows, server_id=server_id)

    async def close(self) -> None:
        pass

    async def expires_in(self, server_id: str, seconds: float) -> None:
        expires_at_us = self.clock.utc_us() + round(seconds * 1_000_000)
        self._rows.leases[server_id] = replace(self._rows.leases[server_id], expires_at_us=expires_at_us)


STORE_GROUPS: dict[str, Callable[[Path], StoreGroup]] = {"memory": MemoryGroup}
STORE_HOMES: dict[str, Callable[[Path], StoreHome]] = {"sqlite": SqliteHome, "memory": MemoryHome}


def _local_relays() -> Callable[[], Relay]:
    hub = LocalHub()
    return lambda: LocalRelay(hub)


def _bad_relays() -> Callable[[], Relay]:
    hub = BadRelayHub()
    return lambda: BadRelay(hub)


RELAY_GROUPS: dict[str, Callable[[], Callable[[], Relay]]] = {"local": _local_relays, "bad": _bad_relays}


def _redis_sessions(request: pytest.FixtureRequest) -> Sessions:
    services: Services = request.getfixturevalue("services")
    clock = SystemClock(asyncio.get_running_loop())
    options = Redis(tell_every_s=0.02).model_dump()
    return redis_sessions(services.fresh_sessions_url(), server_id="server-1", clock=clock, zone=None, options=options)


SESSIONS: dict[str, Callable[[pytest.FixtureRequest], Sessions]] = {
    "memory": lambda request: MemorySessions("server-1"),
    "redis": _redis_sessions,
}
MAILS: dict[str, Callable[[], Mail]] = {"log": LogMail}


@pytest.fixture(params=STORE_HOMES)
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreHome]:
    home = STORE_HOMES[request.param](tmp_path)
    yield home
    await home.close()


@pytest.fixture
async def store(home: StoreHome) -> Store:
    return await home.open()


@pytest.fixture(params=STORE_GROUPS)
async def store_group(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreGroup]:
    group = STORE_GROUPS[request.param](tmp_path)
    yield group
    await group.close()


@pytest.fixture(params=RELAY_GROUPS)
def relay_group(request: pytest.FixtureRequest) -> Callable[[], Relay]:
    """Makes relays that belong to one group."""
    return RELAY_GROUPS[request.param]()


@pytest.fixture(params=SESSIONS)
async def sessions(request: pytest.FixtureRequest) -> AsyncIterator[Sessions]:
    sessions = SESSIONS[request.param](request)
    await sessions.open()
    sessions.start()
    yield sessions
    await sessions.close()


@pytest.fixture(params=MAILS)
async def mail(request: pytest.FixtureRequest) -> AsyncIterator[Mail]:
    mail = MAILS[request.param]()
    await mail.open()
    yield mail
    await mail.close()
