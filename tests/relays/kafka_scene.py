"""Relays on the real Kafka, with short times; what they brought; and another program that reads and writes beside them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError

from stompgate.model.messages import ChatMessage
from stompgate.model.records import BrokerRecord, ChatRecord, Record
from stompgate.ports.relay import Answer
from stompgate.relays.kafka import KafkaRelay
from stompgate.relays.kafka_client import Access, KafkaAway, discard_admin, start_admin
from stompgate.relays.kafka_options import KafkaOptions
from stompgate.relays.kafka_url import from_url
from stompgate.settings import Kafka
from stompgate.system_clock import SystemClock
from tests import waiting

DEADLINE_S = 30.0
ROOMS = 5
_ASK_S = 2.0

IMPATIENT: dict[str, Any] = {
    "open_wait_s": 5.0,
    "request_timeout_s": 1.0,
    "delivery_timeout_s": 1.5,
    "stalled_after_s": 1.5,
    "flush_timeout_s": 0.5,
    "retry_least_s": 0.1,
    "retry_most_s": 0.4,
    "metadata_age_s": 1.0,
    "commit_every_s": 0.2,
    "member_timeout_s": 6.0,
}

_numbers = itertools.count(1)


class Recorder:
    """A listener that keeps what it hears, and can be waited for. ``hold`` makes it congested."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.sizes: list[int] = []
        self.resets = 0
        self.hold: asyncio.Event | None = None

    def receive(self, records: Sequence[Record]) -> None:
        self.records += records
        self.sizes.append(len(records))

    def congestion(self) -> Awaitable[None] | None:
        return None if self.hold is None or self.hold.is_set() else self._held(self.hold)

    async def _held(self, hold: asyncio.Event) -> None:
        await hold.wait()

    def relay_reset(self) -> None:
        self.resets += 1

    def counters(self, destination: str | None = None) -> list[int]:
        """The counters of the broadcasts that came, of one destination or all."""
        broadcasts = [record for record in self.records if isinstance(record, BrokerRecord)]
        return [record.counter for record in broadcasts if destination in (None, record.destination)]

    def seqs(self) -> list[int]:
        """The numbers of the chat messages that came."""
        return [record.message.seq for record in self.records if isinstance(record, ChatRecord)]


class Answers:
    """Keeps the answers to records that were published."""

    def __init__(self) -> None:
        self.of: dict[int, list[Answer]] = {}

    def to(self, number: int) -> Callable[[Answer], None]:
        self.of[number] = []
        return self.of[number].append

    @property
    def are_complete(self) -> bool:
        return all(self.of.values())

    def with_answer(self, answer: Answer) -> list[int]:
        return [number for number, answers in self.of.items() if answers == [answer]]


async def until(
    holds: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str = "a condition", within_s: float = DEADLINE_S
) -> None:
    """Wait until a condition holds, as long as Kafka may take for it."""
    await waiting.until(holds, what, within_s, every_s=0.02)


def make_relay(url: str, *, server_id: str | None = None, **settings: Any) -> KafkaRelay:
    """A relay, not opened; ``settings`` beside the short times."""
    return from_url(
        url,
        server_id=server_id or f"server-{next(_numbers)}",
        clock=SystemClock(asyncio.get_running_loop()),
        zone=None,
        options=Kafka(**(IMPATIENT | settings)).model_dump(),
    )


@asynccontextmanager
async def opened(relay: KafkaRelay) -> AsyncIterator[Recorder]:
    """Open a relay, and wait until it is up."""
    recorder = Recorder()
    relay.listen(recorder)
    await relay.open()
    try:
        await until(lambda: relay.is_up and recorder.resets > 0, "the relay is up")
        yield recorder
    finally:
        async with asyncio.timeout(DEADLINE_S):
            await relay.close()


def chat(seq: int, *, room: str = "room", content: str = "hello") -> ChatRecord:
    """A stored message."""
    return ChatRecord(ChatMessage(f"id-{room}-{seq}", room, seq, "user", content, 1_700_000_000_123_456, "epoch", 1))


def broadcast(counter: int, *, destination: str = "/topic/a", body: bytes = b"\x00body\n\xff") -> BrokerRecord:
    """A message that is not stored."""
    return BrokerRecord("origin", counter, f"id-{counter}", destination, (("a", "b"), ("a", "c")), body)


def figure(relay: KafkaRelay, name: str, lane: str = "") -> float:
    """One of its figures."""
    (value,) = [one.value for one in relay.figures() if (one.name, one.lane) == (f"stompgate_relay_{name}", lane)]
    return value


async def publish_until(relay: KafkaRelay, answers: Answers, stop: asyncio.Event) -> None:
    """Publish one after the other in ``ROOMS`` rooms, for as long as it takes."""
    while not stop.is_set():
        number = len(answers.of) + 1
        relay.publish(chat(number, room=f"room-{number % ROOMS}"), answers.to(number))
        await asyncio.sleep(0.005)


async def came_once_in_order(recorder: Recorder, taken: set[int]) -> None:
    """Wait until all that was taken has come; each room's must have come in order, once."""
    await until(lambda: taken <= set(recorder.seqs()), "what was taken has come")
    for room in range(ROOMS):
        of_room = [seq for seq in recorder.seqs() if seq % ROOMS == room]
        assert of_room == sorted(set(of_room)), "in order, once"


async def all_came_once_in_order(answers: Answers, *recorders: Recorder) -> None:
    """Wait until every record is answered: all were taken, none is in doubt, and everyone was given them."""
    await until(lambda: answers.are_complete, "every record is answered")
    taken = set(answers.with_answer(Answer.TAKEN))
    assert taken == set(answers.of), "nothing was in doubt: a leader was there in time"
    for recorder in recorders:
        await came_once_in_order(recorder, taken)


def split(url: str) -> tuple[str, str]:
    """The brokers and the prefix of a relay's URL."""
    servers, _, prefix = url.removeprefix("kafka://").partition("?prefix=")
    return servers, prefix


def access_to(url: str, **settings: Any) -> Access:
    """Makes clients of a Kafka without a login; ``settings`` beside the short times."""
    options = KafkaOptions(**Kafka(**(IMPATIENT | settings)).model_dump())
    servers = tuple(split(url)[0].split(","))
    return Access(servers=servers, client_id="test", user="", password="", tls=None, options=options)


@dataclass(frozen=True)
class Partition:
    """The numbers of the brokers that have it. ``leader``: -1 if none leads."""

    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


class OtherProgram:
    """Another program on the same Kafka; its names of topics are without the prefix of ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._servers, self._prefix = split(url)

    async def write(self, topic: str, *values: bytes | None, key: bytes | None = b"key", partition: int | None = None) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, max_request_size=32_000_000)
        await producer.start()
        try:
            for value in values:
                await producer.send_and_wait(self._prefix + topic, value, key=key, partition=partition)
        finally:
            await producer.stop()

    async def read_all(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        """Key and value of every record that is there."""
        consumer = AIOKafkaConsumer(self._prefix + topic, bootstrap_servers=self._servers, auto_offset_reset="earliest")
        await consumer.start()
        try:
            ends = await consumer.end_offsets(consumer.assignment())
            found: list[tuple[bytes | None, bytes | None]] = []
            while len(found) < sum(ends.values()):
                for messages in (await consumer.getmany(timeout_ms=1000)).values():
                    found += [(message.key, message.value) for message in messages]
            return found
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """Made and ended as the relay does it: the driver's own leaves a connection open where a start is given up."""
        admin = access_to(self._url, request_timeout_s=DEADLINE_S).admin()
        await start_admin(admin, DEADLINE_S)
        try:
            yield admin
        finally:
            await discard_admin(admin, 1.0)

    async def make(
        self, *topics: str, partitions: int = 1, replicas: int = 1, configs: Mapping[str, str] | None = None
    ) -> None:
        async def is_made() -> bool:
            async with self.admin() as admin:
                new = [NewTopic(self._prefix + topic, partitions, replicas, topic_configs=configs or {}) for topic in topics]
                try:
                    answer = await admin.create_topics(new)
                except (AttributeError, KafkaError):  # no controller yet: a broker that was paused needs a moment
                    return False
                return all(code == 0 for _, code, *_ in answer.topic_errors)

        await until(is_made, f"topics {topics} are made")

    async def delete(self, topic: str) -> None:
        async with self.admin() as admin:
            answer = await admin.delete_topics([self._prefix + topic])
            assert all(code == 0 for _, code in answer.topic_error_codes), answer

    async def grow(self, topic: str, partitions: int) -> None:
        async with self.admin() as admin:
            await admin.create_partitions({self._prefix + topic: NewPartitions(partitions)})

    async def partitions(self, topic: str) -> int:
        return len(await self._described(topic))

    async def partition(self, topic: str) -> Partition:
        """Who has the first partition of a topic."""
        found = next(one for one in await self._described(topic) if one["partition"] == 0)
        return Partition(found["leader"], tuple(found["replicas"]), tuple(found["isr"]))

    async def _described(self, topic: str) -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = []

        async def is_described() -> bool:
            nonlocal described
            with suppress(KafkaAway, KafkaError, OSError, TimeoutError):  # by a broker that is not there any more
                async with asyncio.timeout(_ASK_S), self.admin() as admin:
                    described = await admin.describe_topics()
            return bool(described)

        await until(is_described, "a broker describes the topics")
        return next((list(one["partitions"]) for one in described if one["topic"] == self._prefix + topic), [])

    async def committed(self, group: str) -> int:
        """The sum of the offsets that a group has committed."""
        async with self.admin() as admin:
            offsets = await admin.list_consumer_group_offsets(self._prefix + group)
            return sum(max(0, offset.offset) for offset in offsets.values())
