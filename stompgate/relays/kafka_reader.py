"""The way of records out of Kafka: every partition of both topics is read, from the end at first, then without a gap.

It keeps its own positions; what is committed is for people to see how far it is. A consumer that brings nothing although it
should is thrown away, and another one goes on where it stopped. The listener hears of each moment that may have cost records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, OffsetOutOfRangeError, RecordTooLargeError

from stompgate.chat.wire import NotARecord
from stompgate.model.records import Record
from stompgate.ports.clock import Clock
from stompgate.ports.relay import RelayListener

from .kafka_client import Access, KafkaAway, bounded, discard_consumer, start_consumer
from .kafka_options import Names
from .kafka_records import OtherFormat, decode_chat, decode_own
from .kafka_silence import Silence
from .kafka_topics import Topics
from .retrying import Retrying

_POLL_MS: Final = 1000
_LOOK_EVERY_S: Final = 1.0

_log = structlog.get_logger("stompgate.kafka")

Fetched = Mapping[TopicPartition, Sequence["ConsumerRecord[bytes | None, bytes | None]"]]


class Reader:
    """Reads for one listener. ``run`` is its life, in a task of its owner's.

    ``placed`` is set when the positions are known; nothing is handed over before the owner sets ``may_speak``.
    """

    def __init__(self, access: Access, names: Names, topics: Topics, clock: Clock, listener: RelayListener) -> None:
        self._access = access
        self._options = access.options
        self._names = names
        self._topics = topics
        self._clock = clock
        self._listener = listener
        self._positions: dict[TopicPartition, int] = {}
        self._known_topics: set[str] = set()  # their partitions, where new, are read from the beginning
        self._silence = Silence(_LOOK_EVERY_S)
        self.placed = asyncio.Event()
        self.may_speak = asyncio.Event()
        self.is_up = False
        self.reason = "not connected yet"
        self._consumer: AIOKafkaConsumer | None = None
        self.received = 0
        self.junk = 0
        self.other_formats = 0
        self.resets = 0
        self.rebuilds = 0

    async def run(self) -> None:
        """Keep reading, for ever."""
        retrying = Retrying(self._options.retry_least_s, self._options.retry_most_s)
        while True:
            try:
                consumer = await self._connect()
            except KafkaAway as away:
                self._down(str(away))
                await retrying.pause()
                continue
            begun_s = self._clock.monotonic()
            committing = asyncio.create_task(self._commit_now_and_then(), name="kafka commits")
            try:
                self._consumer = consumer
                self.placed.set()
                await self.may_speak.wait()
                self._up()
                await self._read(consumer)
            except KafkaAway as away:
                self._down(str(away))
            finally:
                self.is_up = False
                self._consumer = None
                committing.cancel()
                try:
                    await asyncio.wait([committing])
                finally:  # also if the relay is closed just now
                    await discard_consumer(consumer, self._options.request_timeout_s)
            self.rebuilds += 1
            retrying.lasted(self._clock.monotonic() - begun_s)
            await retrying.pause()

    async def commit(self, within_s: float) -> None:
        """Write down in Kafka how far we are, for people to see: nothing depends on it."""
        consumer = self._consumer
        if consumer is None or not self.is_up:
            return
        assigned = consumer.assignment()
        offsets = {partition: at for partition, at in self._positions.items() if partition in assigned}
        try:
            await bounded(consumer.commit(offsets), within_s, "committing positions")
        except KafkaAway as away:
            _log.debug("the positions could not be committed", reason=str(away))

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._options.commit_every_s)
            await self.commit(self._options.request_timeout_s)

    def lag(self) -> dict[str, int]:
        """Records that are in Kafka and were not read yet, by partition, as of the last fetch."""
        consumer = self._consumer
        if consumer is None:
            return {}
        lag: dict[str, int] = {}
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            at = self._positions.get(partition)  # unknown for a moment, when partitions are new
            behind = 0 if end is None or at is None else max(0, end - at)
            lag[f"{partition.topic}-{partition.partition}"] = behind
        return lag

    @property
    def silent_s(self) -> float:
        """Seconds since the partition that was silent longest has answered."""
        return self._silence.longest_s

    # Where to read

    async def _connect(self) -> AIOKafkaConsumer:
        topics = await self._topics.ready()
        wanted = {
            TopicPartition(topic, partition) for topic in (self._names.chat, self._names.own) for partition in topics[topic]
        }
        consumer = self._access.consumer(self._names.group)
        await start_consumer(consumer, self._options.request_timeout_s)
        try:
            await self._place(consumer, wanted)
        except BaseException:
            await discard_consumer(consumer, self._options.request_timeout_s)
            raise
        return consumer

    async def _place(self, consumer: AIOKafkaConsumer, wanted: set[TopicPartition]) -> None:
        """Read these partitions: where we stopped, new ones of a topic we know from their beginning, else from the end."""
        within_s = self._options.request_timeout_s
        new = wanted - self._positions.keys()
        consumer.assign(sorted(wanted))
        at_end = [partition for partition in new if partition.topic not in self._known_topics]
        at_beginning = [partition for partition in new if partition.topic in self._known_topics]
        positions: dict[TopicPartition, int] = {}
        if at_end:
            positions |= await bounded(consumer.end_offsets(at_end), within_s, "asking for the ends of the partitions")
        if at_beginning:
            asked = consumer.beginning_offsets(at_beginning)
            positions |= await bounded(asked, within_s, "asking for the beginnings of the partitions")
        self._positions = {partition: self._positions.get(partition, positions.get(partition, 0)) for partition in wanted}
        self._known_topics |= {partition.topic for partition in wanted}
        for partition, position in self._positions.items():
            consumer.seek(partition, position)
        self._silence.begin(wanted, self._clock.monotonic())

    # Reading

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        """Hand over what comes. Ends with ``KafkaAway``, and only so."""
        limit = self._options.read_limit_records
        look_s = self._clock.monotonic() + _LOOK_EVERY_S
        pace_s = self._options.pace_ms / 1000
        while True:
            try:
                fetched: Fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=limit)
            except KafkaError as error:
                await self._after(error, consumer)
                continue
            if fetched:
                next_s = self._clock.monotonic() + pace_s
                is_full = self._take(fetched) >= limit
                await self._room(0.0 if is_full else max(0.0, next_s - self._clock.monotonic()))
            if self._clock.monotonic() >= look_s:
                await self._look(consumer)
                look_s = self._clock.monotonic() + _LOOK_EVERY_S

    def _take(self, fetched: Fetched) -> int:
        """Hand over what was fetched; return how many records it was."""
        records: list[Record] = []
        count = 0
        chat, limit_bytes = self._names.chat, self._options.record_limit_bytes
        for (topic, partition), messages in fetched.items():
            is_chat = topic == chat
            count += len(messages)
            for message in messages:
                value = message.value
                if value is None or len(value) > limit_bytes:
                    self.junk += 1
                    continue
                try:
                    if is_chat:
                        records.append(decode_chat(value, topic, partition, message.offset))
                    else:
                        records.append(decode_own(value, partition))
                except NotARecord as error:
                    self.junk += 1
                    _log.debug("a record was passed over", topic=topic, offset=message.offset, reason=str(error))
                except OtherFormat:
                    self.other_formats += 1
            self._positions[TopicPartition(topic, partition)] = messages[-1].offset + 1
        self.received += len(records)
        if records:
            self._listener.receive(records)
        return count

    async def _room(self, pause_s: float) -> None:
        """Let others have their turn, more records come together, and receivers catch up."""
        congestion = self._listener.congestion()
        if congestion is None:
            await asyncio.sleep(pause_s)
            return
        try:
            async with asyncio.timeout(self._options.congestion_wait_s):
                await congestion
        except TimeoutError:
            _log.warning("receivers cannot follow; reading goes on", waited_s=self._options.congestion_wait_s)
        self._silence.forgive()

    # When something is wrong

    async def _after(self, error: KafkaError, consumer: AIOKafkaConsumer) -> None:
        """Go on after an error of a fetch where that is possible. Raises ``KafkaAway`` where it is not."""
        match error:
            case OffsetOutOfRangeError():
                partitions: dict[TopicPartition, int] = error.args[0]
                await self._jump(consumer, partitions)
            case RecordTooLargeError():
                self.junk += 1
            case CorruptRecordException():
                self._positions.clear()
                self._known_topics.clear()
                raise KafkaAway("a record is damaged: going on from the ends of the partitions") from error
            case _:
                raise KafkaAway(f"reading: {error or type(error).__name__}") from error

    async def _jump(self, consumer: AIOKafkaConsumer, lost: Mapping[TopicPartition, int]) -> None:
        """Go on where a partition begins now if it has moved on without us, or where it ends if it goes back."""
        within_s = self._options.request_timeout_s
        beginnings = await bounded(consumer.beginning_offsets(list(lost)), within_s, "asking for the beginnings")
        ends = await bounded(consumer.end_offsets(list(lost)), within_s, "asking for the ends")
        for partition, offset in lost.items():
            position = beginnings[partition] if offset < beginnings[partition] else ends[partition]
            _log.warning("a part of a topic is gone", topic=partition.topic, partition=partition.partition, offset=offset)
            self._positions[partition] = position
            consumer.seek(partition, position)
        self._reset()

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Notice silence, topics that are gone, and partitions that are new."""
        assigned = consumer.assignment()
        answered = {partition: consumer.last_poll_timestamp(partition) for partition in assigned}
        self._silence.look(answered, self._clock.monotonic())
        wanted: set[TopicPartition] = set()
        for topic in (self._names.chat, self._names.own):
            partitions = consumer.partitions_for_topic(topic)
            if not partitions:
                self._forget(topic)
                raise KafkaAway(f"topic {topic} is gone")
            wanted |= {TopicPartition(topic, partition) for partition in partitions}
        if self._silence.longest_s > self._options.stalled_after_s:
            raise KafkaAway(f"no answer to a fetch for {self._silence.longest_s:.1f} s")
        if wanted - assigned:
            _log.info("there are new partitions", partitions=len(wanted - assigned))
            await self._place(consumer, wanted | assigned)

    def _forget(self, topic: str) -> None:
        """A topic that comes back is another one, and is read from its beginning."""
        self._positions = {partition: at for partition, at in self._positions.items() if partition.topic != topic}

    def _up(self) -> None:
        _log.info("reading from Kafka", partitions=len(self._positions))
        self.reason = ""
        self.is_up = True
        self._reset()

    def _down(self, reason: str) -> None:
        if reason != self.reason:
            _log.warning("not reading from Kafka", reason=reason)
        self.reason = reason
        self.is_up = False

    def _reset(self) -> None:
        self.resets += 1
        self._listener.relay_reset()
