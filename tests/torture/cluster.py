"""The cluster that is tortured: the servers, what stands behind them, and a link of our own wherever two of them meet.

Every server is kept going, as a supervisor would: one that ended is started again. One that ends by itself after it was
ready is a complaint; one that cannot start because its database is away is not.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pymysql

from tests.daemon_process import Daemon, Sections
from tests.proxy import Proxy
from tests.services import Service, start_database, start_kafka, start_redis
from tests.services.kafka import listener_port
from tests.services.kept import kept_port

from .record import Record

NO_ANSWER = (httpx.HTTPError, OSError, TimeoutError, AttributeError)
"""How a request ends that gets no answer. AttributeError: the client's libraries on uvloop, after an early reset."""

_POLL_S = 0.05
_BACK_OFF_S = 1.0
_STOP_S = 45.0
_USURPED = "stopped at once: the server must not go on"
_LOUD = frozenset({"error", "critical"})


class Member:
    """One server of the group, its links to what stands behind it, and the door through which clients come.

    ``twin`` is set up as the same server, and never to run beside it.
    """

    def __init__(self, number: int, daemon: Daemon, twin: Daemon, door: Proxy, links: dict[str, Proxy], record: Record) -> None:
        self.name = f"server {number}"
        self.daemon = daemon
        self._twin = twin
        self.door = door
        self.links = links
        self.url = f"http://127.0.0.1:{door.target[1]}"
        self._record = record
        self._archive = daemon.folder / "every-life.log"
        self._is_expected_to_end = False

    @property
    def is_ready(self) -> bool:
        """Whether it runs and has said so."""
        return self.daemon.is_running and self.daemon.url != ""

    async def keep(self) -> None:
        """Start it whenever it does not run, until cancelled."""
        while True:
            self._is_expected_to_end = False
            await asyncio.to_thread(self.daemon.spawn)
            self._record.counts["server starts"] += 1
            is_first, was_ready = not self._archive.exists(), False
            while self.daemon.is_running:
                was_ready = was_ready or self.is_ready
                await asyncio.sleep(_POLL_S)
            ended = await asyncio.to_thread(self.daemon.wait)
            self._keep_log(ended.errors)
            self._record.note(f"{self.name} ended with {ended.code}")
            if not self._is_expected_to_end:
                end = ended.errors[-2000:]
                assert was_ready or not is_first, f"{self.name} does not start: {end}"
                if was_ready:
                    self._record.complain(f"{self.name} ended by itself with {ended.code}: {end}")
                self._record.counts["failed starts"] += not was_ready
                await asyncio.sleep(_BACK_OFF_S)

    async def end_by(self, number: signal.Signals) -> None:
        """End it by a signal and wait until its next life has begun and is ready, however long the others keep it waiting."""
        if not self.daemon.is_running:
            return
        self._is_expected_to_end = True
        pid = self.daemon.pid
        self.daemon.signal(number)
        await self._wait_while(lambda: self._runs_as(pid))
        if self._runs_as(pid):
            self._record.complain(f"{self.name} did not end within {_STOP_S:g} s of {number.name}")
            self.daemon.signal(signal.SIGKILL)
            await self._wait_while(lambda: self._runs_as(pid))

    async def pause(self, seconds: float) -> None:
        """Freeze it for a while."""
        if self.daemon.is_running:
            pid = self.daemon.pid
            self.daemon.signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            if self._runs_as(pid):
                self.daemon.signal(signal.SIGCONT)

    async def usurp(self) -> None:
        """Freeze it until its twin acts for it, then let it find out: it must end by itself. The twin leaves in good order."""
        if not self.is_ready:
            return
        pid = self.daemon.pid
        self.daemon.signal(signal.SIGSTOP)
        try:
            await asyncio.to_thread(self._twin.spawn)
            await self._wait_while(lambda: self._twin.is_running and self._twin.url == "")
            is_usurped = self._twin.is_running and self._twin.url != ""
            self._record.counts["usurped"] += is_usurped
            self._is_expected_to_end = is_usurped
            self.daemon.signal(signal.SIGCONT)
            if is_usurped:
                await self._wait_while(lambda: self._runs_as(pid))
                if self._runs_as(pid):
                    self._record.complain(f"{self.name} goes on while another process acts for it")
                self._twin.signal(signal.SIGTERM)
                await self._wait_while(lambda: self._twin.is_running)
        finally:
            self._twin.put_down()

    @staticmethod
    async def _wait_while(holds: Callable[[], bool]) -> None:
        end_s = time.monotonic() + _STOP_S
        while holds() and time.monotonic() < end_s:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(_POLL_S)

    def put_down(self) -> None:
        """End it for good."""
        self._is_expected_to_end = True
        self.daemon.put_down()
        self._twin.put_down()

    def _runs_as(self, pid: int) -> bool:
        return self.daemon.is_running and self.daemon.pid == pid

    def check_log(self) -> None:
        """Complain of what this life of it has logged and must not, whatever happens around it: mistakes of its own."""
        self._complain_of(self.daemon.log())

    def _keep_log(self, text: str) -> None:
        with self._archive.open("a") as archive:
            archive.write(text)
        log = self.daemon.log()
        self._complain_of(log if text.endswith("\n") else log[:-1])  # a line that kill -9 broke off says nothing

    def _complain_of(self, log: list[dict[str, Any]]) -> None:
        loud = {event["event"]: event for event in log if event["level"] in _LOUD and not _is_forgiven(event)}
        if self._is_expected_to_end:
            loud.pop(_USURPED, None)
        for event in loud.values():
            self._record.complain(f"{self.name} has logged {event}")


def _is_forgiven(event: dict[str, Any]) -> bool:
    """What is no mistake: a refusal to start; what the interpreter says of a socket that was open at the very end; an answer
    that Kafka's driver waits for no more, on a connection that was reset, or such a connection that it has forgotten to close.
    """
    match event["event"]:
        case "raw":
            # A warning's second line, indented, is the line of code that it is about.
            return str(event["text"]).startswith(("stompgate: ", "  ")) or "ResourceWarning" in event["text"]
        case str(name):
            is_of_the_driver = "aiokafka/conn.py" in event.get("exception", "") or "AIOKafkaConnection" in name
            return is_of_the_driver and name.startswith(("Future exception was never retrieved", "Unclosed"))
    return False


class Cluster:
    """The members; the services by the names of their settings (store, relay, sessions), none of them with SQLite."""

    def __init__(self, folder: Path, members: list[Member], services: dict[str, Service]) -> None:
        self.folder = folder
        self.members = members
        self.services = services

    @property
    def doors(self) -> list[str]:
        """Where clients connect to."""
        return [f"ws://127.0.0.1:{member.door.port}/ws-stomp" for member in self.members]

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

    def owed(self) -> int:
        """How many rows of the outbox wait for the relay, by the database itself."""
        messages = "sg_message m JOIN sg_room r ON r.id = m.room_id WHERE m.unrelayed_by IS NOT NULL AND r.deleted = 0"
        rooms = "sg_room WHERE unrelayed_by IS NOT NULL"
        return sum(self._count(f"SELECT COUNT(*) FROM {owed}") for owed in (messages, rooms))

    def queued(self) -> int:
        """How many messages of queues wait or are in somebody's hands, by the database itself."""
        return self._count("SELECT COUNT(*) FROM sg_queue_message")

    def _count(self, statement: str) -> int:
        if "store" not in self.services:
            with closing(sqlite3.connect(self.members[0].daemon.folder / "chat.db")) as database:
                return int(database.execute(statement).fetchone()[0])
        url = urlsplit(self.services["store"].url)
        with (
            closing(
                pymysql.connect(
                    host=url.hostname, port=url.port or 0, user=url.username, password=url.password or "", database=url.path[1:]
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            row = cursor.fetchone()
            assert row is not None
            return int(row[0])


@asynccontextmanager
async def one_server(folder: Path, record: Record, settings: Sections) -> AsyncIterator[Cluster]:
    """A server with SQLite and nothing beside it."""
    async with AsyncExitStack() as stack:
        yield Cluster(folder, [await _member(stack, folder, 1, {}, settings, record)], {})


@asynccontextmanager
async def several_servers(folder: Path, number: int, record: Record, settings: Sections) -> AsyncIterator[Cluster]:
    """Servers on one database, Kafka and Redis of their own."""
    numbers = range(1, number + 1)
    async with AsyncExitStack() as stack:
        kafka_folder = folder / "kafka"
        kafka_folder.mkdir()
        ways_to_kafka = {n: kept_port(kafka_folder, f"way-{n}-port") for n in numbers}
        services = await asyncio.to_thread(_start_services, stack, folder, tuple(ways_to_kafka.values()))
        members = []
        for n in numbers:
            links: dict[str, Proxy] = {}
            for key, service in services.items():
                port, own = service.port, 0
                if key == "relay":  # its clients go where it tells them to, so each link has a listener of its own
                    port, own = listener_port(kafka_folder, n - 1), ways_to_kafka[n]
                links[key] = await stack.enter_async_context(Proxy("127.0.0.1", port, own))
            urls = {key: _through(service.url, links[key].port) for key, service in services.items()}
            members.append(await _member(stack, folder, n, links, {**settings, **urls}, record))
        yield Cluster(folder, members, services)


def _start_services(stack: AsyncExitStack, folder: Path, proxies: tuple[int, ...]) -> dict[str, Service]:
    return {
        "store": stack.enter_context(start_database(folder / "database")),
        "relay": stack.enter_context(start_kafka(folder / "kafka", proxies)),
        "sessions": stack.enter_context(start_redis(folder / "redis")),
    }


async def _member(
    stack: AsyncExitStack, folder: Path, number: int, links: dict[str, Proxy], settings: Sections, record: Record
) -> Member:
    urls = {key: value for key, value in settings.items() if key in links}
    sections = {**settings, "server_id": f"server-{number}"}

    def daemon(name: str) -> Daemon:
        own = folder / name
        own.mkdir()
        store = ("--store", str(urls["store"])) if urls else ()
        beside = {key: value for key, value in sections.items() if key != "store"}
        return Daemon(own, beside, ["--port", str(kept_port(own)), "--host", "127.0.0.1", *store])

    one = daemon(f"server-{number}")
    door = await stack.enter_async_context(Proxy("127.0.0.1", kept_port(one.folder)))
    member = Member(number, one, daemon(f"server-{number}-twin"), door, links, record)
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
