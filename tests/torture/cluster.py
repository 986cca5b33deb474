"""The cluster that is tortured: the servers, what stands behind them, and a link of our own wherever two of them meet."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pymysql

from tests.daemon_process import Daemon, Sections
from tests.proxy import Proxy
from tests.services import Service, start_brokers, start_database, start_redis
from tests.services.kafka import listener_port
from tests.services.kept import kept_port
from tests.services.services import broker_folder

from .member import Member
from .record import Record

NO_ANSWER = (httpx.HTTPError, OSError, TimeoutError, AttributeError)
"""How a request ends that gets no answer. AttributeError: the client's libraries on uvloop, after an early reset."""


class Cluster:
    """The members; the services by the names of their settings (store, relay, sessions), none of them with SQLite.

    Several brokers are ``relay 1``, ``relay 2`` and so on.
    """

    def __init__(self, folder: Path, members: list[Member], services: dict[str, Service]) -> None:
        self.folder = folder
        self.members = members
        self.services = services

    @property
    def doors(self) -> list[str]:
        """Where WebSockets are opened."""
        return [f"ws://127.0.0.1:{member.door.port}/ws-stomp" for member in self.members]

    @property
    def ways_in(self) -> list[str]:
        """Where clients connect to, by whatever transport; most of them open a WebSocket."""
        over_http = [door.replace("ws", way, 1) for door in self.doors for way in ("ws", "ws", "ws", "xhr_streaming", "xhr")]
        return over_http + [f"tcp://127.0.0.1:{member.tcp_door.port}" for member in self.members]

    async def healthy(self) -> dict[str, str]:
        """What the health page of each server says, by the server's name; "" stands for a server that is ready in all parts."""
        said: dict[str, str] = {}
        async with httpx.AsyncClient(trust_env=False, timeout=10.0) as http:
            for member in self.members:
                try:
                    answer = await http.get(f"{member.url}/health/ready")
                    said[member.name] = "" if answer.json()["status"] == "ready" else answer.text
                except NO_ANSWER as error:
                    said[member.name] = repr(error)
        return said

    @property
    def brokers(self) -> list[str]:
        """The addresses of Kafka's brokers, with no link between."""
        return [f"127.0.0.1:{service.port}" for key, service in self.services.items() if key.startswith("relay")]

    @property
    def store(self) -> str:
        """The URL of their database."""
        return self.services["store"].url if self.services else f"sqlite://{self.members[0].daemon.folder / 'chat.db'}"

    def queued(self) -> int:
        """How many messages of queues wait or are in somebody's hands, by the database itself."""
        return _count(self.store, "sg_queue_message")


def owed(store: str) -> int:
    """How many rows of the outbox wait for the relay, by the database with that URL itself."""
    messages = "sg_message m JOIN sg_room r ON r.id = m.room_id WHERE m.unrelayed_by IS NOT NULL AND r.deleted = 0"
    return _count(store, messages) + _count(store, "sg_room WHERE unrelayed_by IS NOT NULL")


def _count(store: str, rows: str) -> int:
    url = urlsplit(store)
    connect: Callable[[], Any] = partial(sqlite3.connect, url.path)
    if url.scheme == "mysql":
        login = {"host": url.hostname, "port": url.port, "user": url.username, "password": url.password}
        connect = partial(pymysql.connect, **login, database=url.path[1:])
    with closing(connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {rows}")
        return int(cursor.fetchone()[0])


@asynccontextmanager
async def one_server(folder: Path, record: Record, settings: Sections) -> AsyncIterator[Cluster]:
    """A server with SQLite and nothing beside it."""
    async with AsyncExitStack() as stack:
        yield Cluster(folder, [await _member(stack, folder, 1, {}, settings, record)], {})


@asynccontextmanager
async def several_servers(
    folder: Path, number: int, record: Record, settings: Sections, brokers: int = 1
) -> AsyncIterator[Cluster]:
    """Servers on one database, Kafka and Redis of their own. ``brokers``: so many are the Kafka."""
    numbers = range(1, number + 1)
    homes = [broker_folder(folder / "kafka", n) for n in range(1, brokers + 1)]
    async with AsyncExitStack() as stack:
        # Kafka's clients go where it tells them to, so each link to a broker has a listener of its own.
        ways = [tuple(kept_port(home, f"way-{n}-port") for n in numbers) for home in homes]
        services = await asyncio.to_thread(_start_services, stack, folder, ways)
        members = []
        for n in numbers:
            ports = {key: (service.port, 0) for key, service in services.items()}
            for home, way, key in zip(homes, ways, (key for key in services if key.startswith("relay")), strict=True):
                ports[key] = listener_port(home, n - 1), way[n - 1]
            links = {key: await stack.enter_async_context(Proxy("127.0.0.1", *pair)) for key, pair in ports.items()}
            relay = ",".join(f"127.0.0.1:{link.port}" for key, link in links.items() if key.startswith("relay"))
            urls = {key: _through(services[key].url, links[key].port) for key in ("store", "sessions")}
            members.append(await _member(stack, folder, n, links, {**settings, **urls, "relay": f"kafka://{relay}"}, record))
        yield Cluster(folder, members, services)


def _start_services(stack: AsyncExitStack, folder: Path, ways: Sequence[tuple[int, ...]]) -> dict[str, Service]:
    brokers = stack.enter_context(start_brokers(folder / "kafka", ways))
    return {
        "store": stack.enter_context(start_database(folder / "database")),
        "sessions": stack.enter_context(start_redis(folder / "redis")),
        **{f"relay {n}" if len(brokers) > 1 else "relay": broker for n, broker in enumerate(brokers, 1)},
    }


async def _member(
    stack: AsyncExitStack, folder: Path, number: int, links: dict[str, Proxy], settings: Sections, record: Record
) -> Member:
    beside = {key: value for key, value in settings.items() if key != "store"}
    store = ("--store", str(settings["store"])) if "store" in settings else ()

    def daemon(name: str) -> Daemon:
        own = folder / name
        own.mkdir()
        ports = ("--port", str(kept_port(own)), "--tcp-port", str(kept_port(own, "tcp-port")))
        return Daemon(own, {**beside, "server_id": f"server-{number}"}, [*ports, "--host", "127.0.0.1", *store])

    one = daemon(f"server-{number}")
    door = await stack.enter_async_context(Proxy("127.0.0.1", kept_port(one.folder)))
    tcp_door = await stack.enter_async_context(Proxy("127.0.0.1", kept_port(one.folder, "tcp-port")))
    member = Member(number, (one, daemon(f"server-{number}-twin")), (door, tcp_door), links, record)
    stack.enter_context(_kept(member))
    return member


@contextmanager
def _kept(member: Member) -> Iterator[None]:
    try:
        yield
    finally:
        member.put_down()


def _through(url: str, port: int) -> str:
    """The same address by another port."""
    parts = urlsplit(url)
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return parts._replace(netloc=f"{login}{parts.hostname}:{port}").geturl()


def keep_evidence(folder: Path, to: Path) -> None:
    """Copy the logs of the servers to where they outlive the run."""
    to.mkdir(parents=True, exist_ok=True)
    for number, log in enumerate([folder / "record.log", *sorted(folder.glob("server-*/*.log"))]):
        shutil.copy(log, to / f"{number}-{log.parent.name}-{log.name}")
