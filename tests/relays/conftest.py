"""A Kafka that these tests may kill and pause. One for all of them: each puts it back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.services import Service, start_brokers, start_kafka, start_together

_LAST_STEPS_S = 0.2


# Not for the whole session: each broker that idles takes 3 % of a processor.
@pytest.fixture(scope="package")
def _own_kafka() -> Iterator[Service]:
    with TemporaryDirectory(prefix="stompgate-kafka-") as folder, start_kafka(Path(folder)) as kafka:
        yield kafka


@pytest.fixture
def kafka(_own_kafka: Service) -> Iterator[Service]:
    """A Kafka for one test to do as it likes with."""
    _own_kafka.start()
    yield _own_kafka
    if _own_kafka.is_running:
        _own_kafka.resume()


@pytest.fixture(scope="module")
def _own_brokers() -> Iterator[list[Service]]:
    with TemporaryDirectory(prefix="stompgate-brokers-") as folder, start_brokers(Path(folder), [()] * 3) as brokers:
        yield brokers


@pytest.fixture
def brokers(_own_brokers: list[Service]) -> Iterator[list[Service]]:
    """The three brokers of one Kafka, for one test to do as it likes with."""
    start_together(_own_brokers)
    yield _own_brokers
    for broker in _own_brokers:
        if broker.is_running:
            broker.resume()


@pytest.fixture(scope="session")
def _prefixes() -> Iterator[int]:
    return count(1)


@pytest.fixture
def fresh_url(kafka: Service, _prefixes: Iterator[int]) -> Callable[[], str]:
    """Makes URLs of relays whose topics nobody else has."""
    return lambda: f"{kafka.url}?prefix=f{next(_prefixes)}-"


@pytest.fixture(autouse=True)
async def _nothing_is_left_running(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    failed = [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"]
    assert not failed, f"failed in the background: {failed}"
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=_LAST_STEPS_S)  # a cancelled task needs a turn of the loop to end
    assert not left, f"left running: {left}"


@pytest.fixture(autouse=True)
def _quiet_driver() -> Iterator[None]:
    """As ``stompgate.logs`` has it."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)
