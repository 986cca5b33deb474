"""The way of records into Kafka: accepted at once, sent in batches per partition, each answered.

``publish`` never waits. Records of a partition go in their order: one batch at a time is with the producer, and what comes
meanwhile is the next one. When an answer is overdue everything is answered UNKNOWN, the producer is thrown away (what it
holds may be delivered yet), and another one is made as soon as Kafka answers again.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from stompgate.ports.clock import Clock
from stompgate.ports.relay import Acknowledge, Answer

from .kafka_backlog import Backlog, Batch, Partition
from .kafka_client import Access, KafkaAway, bounded, discard_producer, start_producer
from .kafka_options import Names
from .kafka_records import Lane
from .kafka_topics import Topics
from .retrying import Retrying

_LOOKS: Final = 8  # within the delivery time-out: by an eighth it may be overrun
_OVERHEAD_BYTES: Final = 256  # of a batch around its one record

_log = structlog.get_logger("stompgate.kafka")


class Publisher:
    """Takes records for Kafka. ``run`` is its life, in a task of its owner's."""

    def __init__(self, access: Access, names: Names, topics: Topics, clock: Clock) -> None:
        self._access = access
        self._options = access.options
        self._topics = topics
        self._clock = clock
        self._topic_of = {Lane.CHAT: names.chat, Lane.OWN: names.own}
        self._wake = asyncio.Event()
        self._backlog = Backlog(
            clock,
            limit_records=self._options.in_flight_records,
            limit_bytes=self._options.in_flight_bytes,
            wake=self._wake.set,
        )
        self._is_taking = False
        self._is_spent = False  # the producer must be replaced, but no record is in doubt for that
        self._end: asyncio.Future[str] | None = None  # while a producer serves: why it must not go on
        self._settled = asyncio.Event()
        self.connected = asyncio.Event()
        self.reason = "not connected yet"
        self.rebuilds = 0

    @property
    def is_up(self) -> bool:
        """Whether records are taken."""
        return self._is_taking

    @property
    def backlog(self) -> Backlog:
        """What is on its way, with its counters."""
        return self._backlog

    def publish(self, lane: Lane, key: bytes, value: bytes, acknowledge: Acknowledge | None) -> None:
        """Take a record, or answer soon that it was not taken."""
        if len(key) + len(value) + _OVERHEAD_BYTES > self._options.record_limit_bytes:
            self.refuse(acknowledge)
        elif not (self._is_taking and self._backlog.accept(lane, key, value, acknowledge)):
            self._backlog.unknown += 1
            _answer_soon(acknowledge, Answer.UNKNOWN)

    def refuse(self, acknowledge: Acknowledge | None) -> None:
        """Answer soon that a record can never be published."""
        self._backlog.refused += 1
        _answer_soon(acknowledge, Answer.REFUSED)

    async def run(self) -> None:
        """Keep a producer, for ever."""
        retrying = Retrying(self._options.retry_least_s, self._options.retry_most_s)
        while True:
            try:
                producer = await self._connect()
            except KafkaAway as away:
                self._give_up()
                self._note(str(away))
                await retrying.pause()
                continue
            begun_s = self._clock.monotonic()
            try:
                reason = await self._serve(producer)
                if not self._is_spent:
                    self._note(reason)
            finally:
                if not self._is_spent:
                    self._give_up()
                await discard_producer(producer, self._options.request_timeout_s)
            self.rebuilds += 1
            retrying.lasted(self._clock.monotonic() - begun_s)
            if not self._is_spent:
                await retrying.pause()

    async def flush(self, within_s: float) -> None:
        """Wait until everything is answered, at most this long. Nothing is taken any more; what is left is UNKNOWN."""
        accepted, self._is_taking = self._is_taking, False
        try:
            async with asyncio.timeout(within_s):
                while accepted and self._backlog.records:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            _log.warning("Kafka has not answered to all records", records=self._backlog.records)
        self._backlog.give_up()

    async def _connect(self) -> AIOKafkaProducer:
        partitions = await self._topics.ready()
        producer = self._access.producer()
        within_s = self._options.request_timeout_s
        await start_producer(producer, within_s)
        try:
            for topic in self._topic_of.values():
                await bounded(producer.partitions_for(topic), within_s, f"asking for topic {topic}")
        except BaseException:
            await discard_producer(producer, within_s)
            raise
        for lane, topic in self._topic_of.items():
            self._backlog.spread(lane, topic, len(partitions[topic]))
        return producer

    async def _serve(self, producer: AIOKafkaProducer) -> str:
        """Send what comes until the producer can't go on; return why."""
        end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._end = end
        self._is_spent = False
        self._start_taking()
        timeout_s = self._options.delivery_timeout_s
        sending = asyncio.create_task(self._send(producer), name="kafka sending")
        try:
            while True:
                either: list[asyncio.Future[Any]] = [end, sending]
                await asyncio.wait(either, timeout=timeout_s / _LOOKS, return_when=asyncio.FIRST_COMPLETED)
                if end.done():
                    return end.result()
                if sending.done():
                    sending.result()
                oldest_s = self._backlog.oldest_s()
                if oldest_s is not None and self._clock.monotonic() - oldest_s > timeout_s:
                    return f"no answer to a record within {timeout_s:g} s"
                if self._has_grown(producer):
                    self._is_spent = True
                    self._see_spent()
        except KafkaAway as away:
            return str(away)
        finally:
            self._end = None
            sending.cancel()
            await asyncio.wait([sending])

    async def _send(self, producer: AIOKafkaProducer) -> None:
        pace_s = self._options.pace_ms / 1000
        next_s = 0.0
        while True:
            await self._wake.wait()
            pause_s = next_s - self._clock.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            next_s = self._clock.monotonic() + pace_s
            self._wake.clear()
            for partition in self._backlog.ready():
                if partition.waiting and partition.batch is None and not self._is_spent:
                    await self._hand_over(producer, partition)
            self._see_spent()

    async def _hand_over(self, producer: AIOKafkaProducer, partition: Partition) -> None:
        """Give the producer a batch of what waits for a partition. It has none of that partition, so it takes it at once."""
        known = producer.client.cluster.partitions_for_topic(partition.topic)
        if known is None or partition.number not in known:
            raise KafkaAway(f"topic {partition.topic} has lost partition {partition.number}")
        builder = producer.create_batch()
        now_ms = self._clock.utc_us() // 1000

        def append(key: bytes, value: bytes) -> bool:
            return builder.append(timestamp=now_ms, key=key, value=value) is not None

        batch = self._backlog.take(partition, append)
        builder.close()
        sent = producer.send_batch(builder, partition.topic, partition=partition.number)
        answer = await bounded(sent, self._options.request_timeout_s, "sending a batch")
        answer.add_done_callback(partial(self._answered, partition, batch))

    def _answered(self, partition: Partition, batch: Batch, answer: asyncio.Future[Any]) -> None:
        if partition.batch is not batch or answer.cancelled():
            return  # given up meanwhile
        error = answer.exception()
        match error:
            case None:
                self._backlog.took(partition)
            case MessageSizeTooLargeError() | RecordListTooLargeError():
                # The producer has counted the batch's numbers as used, and no broker takes those that follow them.
                self._is_spent = True
                self._backlog.too_large(partition)
            case _:
                self._break(f"a batch failed: {error or type(error).__name__}")
        self._see_spent()
        if not self._backlog.records:
            self._settled.set()

    def _has_grown(self, producer: AIOKafkaProducer) -> bool:
        """Whether a topic has more partitions than records are spread over."""
        known = producer.client.cluster.partitions_for_topic
        return any(len(known(topic) or ()) > self._backlog.size(lane) for lane, topic in self._topic_of.items())

    def _see_spent(self) -> None:
        if self._is_spent and not self._backlog.has_batches:
            self._break("its producer is replaced")

    def _break(self, reason: str) -> None:
        if self._end is not None and not self._end.done():
            self._end.set_result(reason)

    def _start_taking(self) -> None:
        if self.reason:
            _log.info("publishing to Kafka")
        self.reason = ""
        self._is_taking = True
        self.connected.set()

    def _note(self, reason: str) -> None:
        if reason != self.reason:
            _log.warning("not publishing to Kafka", reason=reason)
        self.reason = reason

    def _give_up(self) -> None:
        self._is_taking = False
        self._backlog.give_up()
        self._settled.set()


def _answer_soon(acknowledge: Acknowledge | None, answer: Answer) -> None:
    if acknowledge is not None:
        asyncio.get_running_loop().call_soon(acknowledge, answer)
