"""The traps of the driver, each sprung on the real thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient

from stompgate.relays.kafka_client import (
    METADATA_PAUSE_S,
    Access,
    KafkaAway,
    bounded,
    discard_consumer,
    discard_producer,
    start_consumer,
    start_producer,
)
from stompgate.relays.kafka_options import KafkaOptions
from stompgate.settings import Kafka
from tests.relays.kafka_scene import DEADLINE_S, IMPATIENT, OtherProgram, split
from tests.services import Service


def access_to(url: str) -> Access:
    options = KafkaOptions(**Kafka(**IMPATIENT).model_dump())
    return Access(servers=(split(url)[0],), client_id="test", user="", password="", tls=None, options=options)


@pytest.fixture
async def topic(fresh_url: Callable[[], str]) -> tuple[str, str]:
    """A URL and the name of a topic that is there."""
    url = fresh_url()
    await OtherProgram(url).make("chat")
    return url, f"{split(url)[1]}chat"


async def test_a_start_is_bounded_though_the_broker_accepts_connections_and_says_nothing(
    kafka: Service, fresh_url: Callable[[], str]
) -> None:
    access = access_to(fresh_url())
    kafka.pause()
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(KafkaAway, match="connecting"):
            await start_producer(access.producer(), 1.0)
        with pytest.raises(KafkaAway, match="connecting"):
            await start_consumer(access.consumer("group"), 1.0)


@pytest.mark.parametrize("state", ["gone", "paused"])
async def test_clients_with_work_under_way_can_be_got_rid_of(kafka: Service, topic: tuple[str, str], state: str) -> None:
    url, name = topic
    access = access_to(url)
    producer, consumer, member = access.producer(), access.consumer("group"), access.consumer("members", topic=name)
    await start_producer(producer, 5.0)
    await start_consumer(consumer, 5.0)
    await start_consumer(member, 10.0)
    (partition,) = member.assignment()
    consumer.assign([partition])
    consumer.seek(partition, 0)
    await producer.send_and_wait(name, b"1")
    await consumer.getmany(timeout_ms=1000)
    if state == "gone":
        kafka.kill()
    else:
        kafka.pause()
    sent = await producer.send(name, b"2")
    for one in (consumer, member):
        with pytest.raises(KafkaAway):
            await bounded(one.commit({partition: 1}), 0.3, "committing")
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(discard_producer(producer, 1.0), discard_consumer(consumer, 1.0), discard_consumer(member, 1.0))
    sent.cancel()  # and the fixture sees that nothing runs, and that no error was forgotten


async def test_a_client_is_got_rid_of_whole_though_who_does_it_is_cancelled(kafka: Service, topic: tuple[str, str]) -> None:
    url, name = topic
    consumer = access_to(url).consumer("group")
    await start_consumer(consumer, 5.0)
    consumer.assign([TopicPartition(name, 0)])
    consumer.seek(TopicPartition(name, 0), 0)
    kafka.pause()
    with pytest.raises(KafkaAway):
        await bounded(consumer.commit({TopicPartition(name, 0): 1}), 0.3, "committing")
    discarding = asyncio.ensure_future(discard_consumer(consumer, 0.5))
    await asyncio.sleep(0)
    discarding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await discarding
    assert not any(connection.connected() for connection in consumer._client._conns.values())


async def test_metadata_are_not_asked_for_without_pause_while_nobody_leads(
    kafka: Service, topic: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, name = topic
    asked = 0
    ask = AIOKafkaClient._metadata_update

    async def counted(self: AIOKafkaClient, *arguments: Any) -> bool:
        nonlocal asked
        asked += 1
        return bool(await ask(self, *arguments))

    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", counted)
    access = access_to(url)
    producer, consumer = access.producer(), access.consumer("group")
    await start_producer(producer, 5.0)
    await start_consumer(consumer, 5.0)
    await producer.send_and_wait(name, b"1")
    consumer.assign([TopicPartition(name, 0)])
    consumer.seek(TopicPartition(name, 0), 0)
    await OtherProgram(url).delete("chat")
    sent = await producer.send(name, b"2")
    asked, seconds = 0, 2.0
    await asyncio.sleep(seconds)
    assert 0 < asked <= 2 * (seconds / METADATA_PAUSE_S + 1), "by two clients"
    await discard_producer(producer, 1.0)
    await discard_consumer(consumer, 1.0)
    sent.cancel()


async def test_that_a_connection_was_reset_is_not_reported_as_forgotten(topic: tuple[str, str]) -> None:
    producer = access_to(topic[0]).producer()
    await start_producer(producer, DEADLINE_S)
    await producer.send_and_wait(topic[1], b"1")
    ends = [connection._protocol._closed for connection in producer.client._conns.values()]
    assert ends != []
    for end in ends:
        end.set_exception(ConnectionResetError())
    await asyncio.sleep(0)  # when its callbacks are called
    assert not any(end._log_traceback for end in ends)
    await discard_producer(producer, DEADLINE_S)
