"""The traps of the driver, each sprung on the real thing."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import aiokafka.conn
import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup

from stompgate.relays.kafka_client import (
    METADATA_PAUSE_S,
    KafkaAway,
    bounded,
    discard_consumer,
    discard_producer,
    start_consumer,
    start_producer,
)
from tests.relays.kafka_scene import DEADLINE_S, OtherProgram, access_to, split, until
from tests.services import Service


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


async def test_that_a_connection_was_reset_is_not_reported_as_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[asyncio.Future[None]] = []

    class Kept(aiokafka.conn.AIOKafkaProtocol):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            ends.append(self._closed)

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    monkeypatch.setattr(aiokafka.conn, "AIOKafkaProtocol", Kept)
    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(KafkaAway):
            await start_producer(access_to(f"kafka://{host}:{port}").producer(), DEADLINE_S)
    assert not any(end._log_traceback for end in ends)
    assert [type(end.exception()) for end in ends] == [ConnectionResetError]


async def test_a_client_that_is_closed_keeps_no_connection_that_comes_late(kafka: Service, topic: tuple[str, str]) -> None:
    producer = access_to(topic[0], request_timeout_s=DEADLINE_S).producer()
    await start_producer(producer, DEADLINE_S)
    kafka.pause()
    (broker,) = producer.client.cluster.brokers()
    connecting = asyncio.create_task(producer.client._get_conn(broker.nodeId, group=ConnectionGroup.COORDINATION))
    await until(producer.client._get_conn_lock.locked, "it is connecting")
    await discard_producer(producer, 0.2)
    kafka.resume()
    assert await asyncio.wait_for(connecting, DEADLINE_S) is None
    assert await producer.client._get_conn(broker.nodeId) is None, "and it makes no other"
    # and the fixture sees that nothing runs


async def test_what_a_broker_is_asked_for_offsets_ends_with_the_consumer(kafka: Service, topic: tuple[str, str]) -> None:
    """As it goes on by itself where another broker was asked at once and has failed."""
    consumer = access_to(topic[0], request_timeout_s=DEADLINE_S).consumer("group")
    await start_consumer(consumer, DEADLINE_S)
    (broker,) = consumer._client.cluster.brokers()
    kafka.pause()
    asking = asyncio.create_task(consumer._fetcher._proc_offset_request(broker.nodeId, {topic[1]: [(0, -1)]}))
    await asyncio.sleep(0)
    await discard_consumer(consumer, 0.2)
    assert asking.cancelled()
