"""One set of the three servers. Each is started when it is first asked for; no test meets another's data."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path

from tests.deploy.certificates import Issued
from tests.requirements import left_out

from .database import Database
from .kafka import Kafka, controller_port
from .mariadb import MariaDB
from .mysql import MySQL
from .nginx import Nginx
from .redis import Redis
from .service import NotInstalled, NotStarted, Program, Service


class Services:
    """A database, Redis and Kafka with their data in ``folder``. Asking for one starts it.

    A test that asks for a server that is not installed is left out; one that does not start raises NotStarted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Service] = []
        self._numbers = itertools.count(1)

    @cached_property
    def database(self) -> Service:
        """MariaDB or MySQL, started."""
        return self._start(self._database)

    @cached_property
    def redis(self) -> Service:
        """Redis, started."""
        return self._start(Redis(self.folder / "redis"))

    @cached_property
    def kafka(self) -> Service:
        """Kafka, started."""
        return self._start(Kafka(self.folder / "kafka"))

    def fresh_store_url(self) -> str:
        """A new, empty database."""
        self.database.start()
        return self._database.create_database(f"stompgate_{next(self._numbers)}")

    def fresh_relay_url(self) -> str:
        """Kafka with a prefix of topic names that nobody else has."""
        return f"{self.kafka.start().url}?prefix=t{next(self._numbers)}-"

    def fresh_sessions_url(self) -> str:
        """Redis with a prefix of keys that nobody else has."""
        return f"{self.redis.start().url}?prefix=t{next(self._numbers)}:"

    def end(self) -> None:
        """End those that were started, without ceremony: their data is not needed any more."""
        for service in self._started:
            service.kill()

    @cached_property
    def _database(self) -> Database:
        return database(self.folder / "database")

    def _start(self, program: Program) -> Service:
        service = _start(program)
        self._started.append(service)
        return service


def database(folder: Path, issued: Issued | None = None) -> Database:
    """The kind of database that this run is on: MariaDB, or MySQL where ``TEST_DATABASE=mysql`` says so."""
    kind = {"mariadb": MariaDB, "mysql": MySQL}[os.environ.get("TEST_DATABASE", "mariadb")]
    return kind(folder, issued)


def start_database(folder: Path, issued: Issued | None = None) -> AbstractContextManager[Service]:
    """A database of one's own, for a ``with``; data in ``folder``. ``issued``: see ``Database``."""
    return _own(database(folder, issued))


def start_redis(folder: Path) -> AbstractContextManager[Service]:
    """A Redis of one's own, for a ``with``."""
    return _own(Redis(folder))


def start_kafka(folder: Path) -> AbstractContextManager[Service]:
    """A Kafka of one's own, for a ``with``; data in ``folder``."""
    return _own(Kafka(folder))


@contextmanager
def start_brokers(folder: Path, proxies: Sequence[tuple[int, ...]]) -> Iterator[list[Service]]:
    """The brokers of one Kafka, for a ``with``. ``proxies``: an entry for each of them (see ``Kafka``)."""
    folders = tuple(broker_folder(folder, number) for number in range(1, len(proxies) + 1))
    cluster = folders if len(folders) > 1 else ()
    brokers = [Service(Kafka(own, proxies=ports, cluster=cluster)) for own, ports in zip(folders, proxies, strict=True)]
    for own in folders:
        controller_port(own)  # before all ask for it at once, and each chooses another
    try:
        start_together(brokers)
        yield brokers
    finally:
        for broker in brokers:
            broker.kill()


def broker_folder(folder: Path, number: int) -> Path:
    """Where the broker with that number is, of a Kafka in that folder."""
    own = folder / f"broker-{number}"
    own.mkdir(parents=True, exist_ok=True)
    return own


def start_together(services: Sequence[Service]) -> None:
    """Start several that wait for each other. If one cannot be started, none is kept waiting for it."""
    with ThreadPoolExecutor(len(services)) as threads:
        try:
            for started in as_completed([threads.submit(service.start) for service in services]):
                started.result()
        except NotStarted as failed:
            for service in services:
                service.kill()
            if isinstance(failed, NotInstalled):
                left_out(str(failed))
            raise


def start_nginx(folder: Path, *server_ports: int) -> AbstractContextManager[Service]:
    """An nginx in front of servers on these ports, for a ``with``, with the file that ``deploy`` gives it."""
    return _own(Nginx(folder, server_ports))


@contextmanager
def _own(program: Program) -> Iterator[Service]:
    service = _start(program)
    try:
        yield service
    finally:
        service.kill()


def _start(program: Program) -> Service:
    try:
        return Service(program).start()
    except NotInstalled as missing:
        left_out(str(missing))
