"""Records on their way to Kafka: what waits for a partition, what the producer has of it, and who wants the answers.

It knows no producer and never waits. Each record that was accepted is answered once, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from aiokafka.partitioner import murmur2

from stompgate.ports.clock import Clock
from stompgate.ports.relay import Acknowledge, Answer

from .kafka_records import Lane

Waiting = tuple[bytes, bytes, Acknowledge | None]
"""A record's key and value, and who wants to know what becomes of it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that the producer has. ``since_s``: when the oldest of them was accepted, or came to the front."""

    records: Sequence[Waiting]
    since_s: float


class Partition:
    """What is on its way to one partition. ``alone``: so many go one by one, since their batch was too large."""

    __slots__ = ("alone", "batch", "is_ready", "number", "since_s", "topic", "waiting")

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.waiting: list[Waiting] = []
        self.since_s = 0.0
        self.batch: Batch | None = None
        self.alone = 0
        self.is_ready = False


class Backlog:
    """All of it. ``wake`` is called when a partition that had nothing to send has something."""

    def __init__(self, clock: Clock, *, limit_records: int, limit_bytes: int, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._limit_records = limit_records
        self._limit_bytes = limit_bytes
        self._wake = wake
        self._lanes: dict[Lane, list[Partition]] = {lane: [] for lane in Lane}
        self._ready: list[Partition] = []
        self._bytes = 0
        self.records = 0
        self.published = 0
        self.unknown = 0
        self.refused = 0

    def accept(self, lane: Lane, key: bytes, value: bytes, acknowledge: Acknowledge | None) -> bool:
        """Take a record. False if too many are on their way, or nobody knows yet where to."""
        partitions = self._lanes[lane]
        size = len(key) + len(value)
        if not partitions or self.records >= self._limit_records or self._bytes + size > self._limit_bytes:
            return False
        partition = partitions[hash_of(key) % len(partitions)]
        if not partition.waiting:
            partition.since_s = self._clock.monotonic()
        partition.waiting.append((key, value, acknowledge))
        self.records += 1
        self._bytes += size
        self._see_ready(partition)
        return True

    def ready(self) -> Sequence[Partition]:
        """The partitions that have something to send, each told once."""
        ready, self._ready = self._ready, []
        for partition in ready:
            partition.is_ready = False
        return ready

    def take(self, partition: Partition, append: Callable[[bytes, bytes], bool]) -> Batch:
        """Move what waits into a batch, record by record, until ``append`` is full."""
        waiting = partition.waiting
        taken = 0
        limit = 1 if partition.alone else len(waiting)
        for key, value, _ in waiting:
            if taken == limit or not append(key, value):
                break
            taken += 1
        batch = partition.batch = Batch(waiting[:taken], partition.since_s)
        del waiting[:taken]
        partition.since_s = self._clock.monotonic()
        return batch

    def took(self, partition: Partition) -> None:
        """Kafka has the batch of a partition."""
        batch = _taken_from(partition)
        self.published += len(batch.records)
        partition.alone = max(0, partition.alone - len(batch.records))
        self._answer(batch.records, Answer.TAKEN)
        self._see_ready(partition)

    def too_large(self, partition: Partition) -> None:
        """Kafka refused the batch of a partition for its size: a lone record for good, several are to go one by one."""
        batch = _taken_from(partition)
        if len(batch.records) == 1:
            self.refused += 1
            partition.alone = max(0, partition.alone - 1)
            self._answer(batch.records, Answer.REFUSED)
        else:
            partition.waiting[:0] = batch.records
            partition.since_s = batch.since_s
            partition.alone = max(partition.alone, len(batch.records))
        self._see_ready(partition)

    def give_up(self) -> None:
        """Answer UNKNOWN to everything."""
        for partition in self._all():
            batch, partition.batch = partition.batch, None
            waiting, partition.waiting = partition.waiting, []
            partition.alone = 0
            left = [*batch.records, *waiting] if batch is not None else waiting
            self.unknown += len(left)
            self._answer(left, Answer.UNKNOWN)

    def spread(self, lane: Lane, topic: str, count: int) -> None:
        """Have as many partitions as the topic has. What waits goes where its key belongs now; no batch is out."""
        waiting = [record for partition in self._lanes[lane] for record in partition.waiting]
        if len(self._lanes[lane]) != count:
            self._lanes[lane] = [Partition(topic, number) for number in range(count)]
            for record in waiting:
                partition = self._lanes[lane][hash_of(record[0]) % count]
                partition.since_s = self._clock.monotonic()
                partition.waiting.append(record)
        self._ready = [partition for partition in self._ready if partition.topic != topic]
        for partition in self._lanes[lane]:
            partition.is_ready = False
            self._see_ready(partition)

    def size(self, lane: Lane) -> int:
        """How many partitions records of this lane go to."""
        return len(self._lanes[lane])

    @property
    def has_batches(self) -> bool:
        """Whether the producer has any."""
        return any(partition.batch is not None for partition in self._all())

    def oldest_s(self) -> float | None:
        """When the record that has waited longest was accepted; None if there is none."""
        times = [partition.batch.since_s for partition in self._all() if partition.batch is not None]
        times += [partition.since_s for partition in self._all() if partition.waiting]
        return min(times, default=None)

    def _all(self) -> list[Partition]:
        return [partition for partitions in self._lanes.values() for partition in partitions]

    def _see_ready(self, partition: Partition) -> None:
        if partition.waiting and partition.batch is None and not partition.is_ready:
            partition.is_ready = True
            self._ready.append(partition)
            self._wake()

    def _answer(self, records: Sequence[Waiting], answer: Answer) -> None:
        self.records -= len(records)
        for key, value, acknowledge in records:
            self._bytes -= len(key) + len(value)
            if acknowledge is not None:
                acknowledge(answer)


@lru_cache(maxsize=16_384)
def hash_of(key: bytes) -> int:
    """The number by which clients of Kafka commonly choose a key's partition. 15 µs for a room; rooms come again and again."""
    return int(murmur2(key)) & 0x7FFFFFFF


def _taken_from(partition: Partition) -> Batch:
    batch, partition.batch = partition.batch, None
    assert batch is not None
    return batch
