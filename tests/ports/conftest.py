"""Who stands behind each port. An entry here puts an implementation under the port's whole suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from stompgate.mail.log import LogMail
from stompgate.mail.smtp_url import from_url as smtp_mail
from stompgate.ports.mail import Mail
from stompgate.ports.queues import Queues
from stompgate.ports.relay import Relay
from stompgate.ports.sessions import Sessions
from stompgate.ports.store import Store
from stompgate.queues.memory import MemoryQueues
from stompgate.relays.local import LocalHub, LocalRelay
from stompgate.sessions.memory import MemorySessions
from stompgate.sessions.redis_url import from_url as redis_sessions
from stompgate.settings import Redis, Smtp
from stompgate.stores.mysql import MysqlStore
from stompgate.stores.mysql_schema import NOW_US
from stompgate.stores.mysql_url import from_url
from stompgate.stores.sqlite import SqliteStore
from stompgate.system_clock import SystemClock
from tests.bad_relay import BadRelay, BadRelayHub
from tests.fakes import FakeClock
from tests.mail.post_office import PostOffice, post_office
from tests.memory_store import MemoryRows, MemoryStore
from tests.relays.kafka_scene import make_relay
from tests.services import Services
from tests.stores.mysql_rows import ask, emptied_url


class StoreHome(Protocol):
    """Data that a store can be opened on, closed, and opened on again."""

    async def open(self) -> Store: ...

    async def close(self) -> None: ...


class OpenedHome:
    """The home of a store that is made anew for each opening."""

    def __init__(self, make: Callable[[], SqliteStore | MysqlStore]) -> None:
        self._make = make
        self._store: SqliteStore | MysqlStore | None = None

    async def open(self) -> Store:
        await self.close()
        store = self._make()
        await store.open()
        self._store = store
        return store

    async def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.close()


def sqlite_home(folder: Path) -> StoreHome:
    return OpenedHome(lambda: SqliteStore(folder / "chat.db", server_id="server-1"))


def mysql_home(services: Services) -> StoreHome:
    url = emptied_url(services)
    return OpenedHome(lambda: from_url(url, server_id="server-1"))


class MemoryHome:
    def __init__(self, folder: Path) -> None:
        self._rows = MemoryRows()

    async def open(self) -> Store:
        return MemoryStore(self._rows, server_id="server-1")

    async def close(self) -> None:
        pass


class StoreGroup(Protocol):
    """Data that several servers share, and the clock of the database."""

    async def open(self, server_id: str) -> Store: ...

    async def close(self) -> None: ...

    async def now_us(self) -> int:
        """The time of day of the database, in microseconds."""

    async def pass_time(self, seconds: float) -> None:
        """Let everything that expires do so by so much earlier; below 0, later."""

    async def expires_in(self, server_id: str, seconds: float) -> None:
        """Write another expiry into a lease."""


class MemoryGroup:
    def __init__(self) -> None:
        self._clock = FakeClock()
        self._rows = MemoryRows(clock=self._clock)

    async def open(self, server_id: str) -> Store:
        return MemoryStore(self._rows, server_id=server_id)

    async def close(self) -> None:
        pass

    async def now_us(self) -> int:
        return self._clock.utc_us()

    async def pass_time(self, seconds: float) -> None:
        self._clock.set_utc_us(self._clock.utc_us() + round(seconds * 1_000_000))

    async def expires_in(self, server_id: str, seconds: float) -> None:
        expires_at_us = self._clock.utc_us() + round(seconds * 1_000_000)
        self._rows.leases[server_id] = replace(self._rows.leases[server_id], expires_at_us=expires_at_us)


class MysqlGroup:
    """The database's clock cannot be set, so what expires is brought nearer instead."""

    def __init__(self, services: Services) -> None:
        self._url = emptied_url(services)
        self._stores: list[MysqlStore] = []

    async def open(self, server_id: str) -> Store:
        store = from_url(self._url, server_id=server_id)
        await store.open()
        self._stores.append(store)
        return store

    async def close(self) -> None:
        for store in self._stores:
            await store.close()

    async def now_us(self) -> int:
        return int(ask(self._url, f"SELECT {NOW_US}")[0][0])

    async def pass_time(self, seconds: float) -> None:
        ask(self._url, "UPDATE sg_lease SET expires_at_us = expires_at_us - %s", (round(seconds * 1_000_000),))
        ask(self._url, "UPDATE sg_inquiry SET claimed_until_us = claimed_until_us - %s", (round(seconds * 1_000_000),))

    async def expires_in(self, server_id: str, seconds: float) -> None:
        ask(
            self._url,
            f"UPDATE sg_lease SET expires_at_us = {NOW_US} + %s WHERE server_id = %s",
            (round(seconds * 1_000_000), server_id),
        )


STORE_GROUPS: dict[str, Callable[[Services], StoreGroup]] = {"memory": lambda _: MemoryGroup(), "mysql": MysqlGroup}
STORE_HOMES: dict[str, Callable[[Path, Services], StoreHome]] = {
    "sqlite": lambda folder, _: sqlite_home(folder),
    "memory": lambda folder, _: MemoryHome(folder),
    "mysql": lambda _, services: mysql_home(services),
}

QUEUES: dict[str, Callable[[Path, Services], Queues]] = {
    "memory": lambda _folder, _: MemoryQueues(),
    "sqlite": lambda folder, _: SqliteStore(folder / "chat.db", server_id="server-1"),
    "mysql": lambda _, services: from_url(emptied_url(services), server_id="server-1"),
}


def _local_relays() -> Callable[[], Relay]:
    hub = LocalHub()
    return lambda: LocalRelay(hub)


def _bad_relays() -> Callable[[], Relay]:
    hub = BadRelayHub()
    return lambda: BadRelay(hub)


def _kafka_relays(services: Services) -> Callable[[], Relay]:
    url = services.fresh_relay_url()
    return lambda: make_relay(url)


RELAY_GROUPS: dict[str, Callable[[Services], Callable[[], Relay]]] = {
    "local": lambda _: _local_relays(),
    "bad": lambda _: _bad_relays(),
    "kafka": _kafka_relays,
}


def _redis_sessions(request: pytest.FixtureRequest) -> Sessions:
    services: Services = request.getfixturevalue("services")
    clock = SystemClock(asyncio.get_running_loop())
    options = Redis(tell_every_s=0.02).model_dump()
    return redis_sessions(services.fresh_sessions_url(), server_id="server-1", clock=clock, zone=None, options=options)


SESSIONS: dict[str, Callable[[pytest.FixtureRequest], Sessions]] = {
    "memory": lambda request: MemorySessions("server-1"),
    "redis": _redis_sessions,
}


def _smtp_mail(request: pytest.FixtureRequest) -> Mail:
    office: PostOffice = request.getfixturevalue("office")
    clock = SystemClock(asyncio.get_running_loop())
    return smtp_mail(office.url, clock=clock, options=Smtp.model_validate(office.smtp).model_dump())


MAILS: dict[str, Callable[[pytest.FixtureRequest], Mail]] = {"log": lambda _: LogMail(), "smtp": _smtp_mail}


@pytest.fixture(params=STORE_HOMES)
async def home(request: pytest.FixtureRequest, tmp_path: Path, services: Services) -> AsyncIterator[StoreHome]:
    home = STORE_HOMES[request.param](tmp_path, services)
    yield home
    await home.close()


@pytest.fixture
async def store(home: StoreHome) -> Store:
    return await home.open()


@pytest.fixture(params=QUEUES)
async def queues(request: pytest.FixtureRequest, tmp_path: Path, services: Services) -> AsyncIterator[Queues]:
    """Queues on which the owner ``owner-1`` holds a lease."""
    queues = QUEUES[request.param](tmp_path, services)
    await queues.open()
    if isinstance(queues, MysqlStore):
        await queues.take_lease("owner-1")
    yield queues
    await queues.close()


@pytest.fixture(params=STORE_GROUPS)
async def store_group(request: pytest.FixtureRequest, services: Services) -> AsyncIterator[StoreGroup]:
    group = STORE_GROUPS[request.param](services)
    yield group
    await group.close()


@pytest.fixture(params=RELAY_GROUPS)
def relay_group(request: pytest.FixtureRequest, services: Services) -> Callable[[], Relay]:
    """Makes relays that belong to one group."""
    return RELAY_GROUPS[request.param](services)


@pytest.fixture(params=SESSIONS)
async def sessions(request: pytest.FixtureRequest) -> AsyncIterator[Sessions]:
    sessions = SESSIONS[request.param](request)
    await sessions.open()
    sessions.start()
    yield sessions
    await sessions.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    with post_office(tmp_path / "office") as office:
        yield office


@pytest.fixture(params=MAILS)
async def mail(request: pytest.FixtureRequest) -> AsyncIterator[Mail]:
    mail = MAILS[request.param](request)
    await mail.open()
    yield mail
    await mail.close()
