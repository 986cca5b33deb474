"""The relay through Apache Kafka: what is published on one server is read by all, itself included.

Publishing, reading and the users to be forgotten are each kept going by a task of their own, and know nothing of each other.
It opens whether Kafka is there or not, and takes it up when it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import tzinfo
from typing import Any, Final

import structlog

from stompgate.chat.wire import Wire
from stompgate.model.records import Record
from stompgate.ports.clock import Clock
from stompgate.ports.part import Figure, PartDown, SetupError
from stompgate.ports.relay import Acknowledge, Answer, Departed, RelayListener

from .kafka_client import Access, KafkaAway
from .kafka_departures import Departures
from .kafka_figures import figures
from .kafka_options import Names
from .kafka_publisher import Publisher
from .kafka_reader import Reader
from .kafka_records import encode
from .kafka_topics import Topics, TopicsMissing, TopicsRefused
from .retrying import Retrying

_LAST_COMMIT_S: Final = 1.0

_log = structlog.get_logger("stompgate.kafka")


class KafkaRelay:
    """``ports.relay.Relay``."""

    def __init__(self, access: Access, names: Names, clock: Clock, zone: tzinfo | None) -> None:
        self._access = access
        self._names = names
        self._clock = clock
        self._wire = Wire(zone)
        self._listener: RelayListener | None = None
        self._departed: Departed | None = None
        self._publisher: Publisher | None = None
        self._reader: Reader | None = None
        self._departures: Departures | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False

    def listen(self, listener: RelayListener) -> None:
        """Name the one listener."""
        self._listener = listener

    def listen_for_departures(self, departed: Departed) -> None:
        """Name who is told of users to be forgotten. Without one their topic is not read."""
        self._departed = departed

    async def open(self) -> None:
        """Connect if Kafka answers in time, else go on trying. Raises ``SetupError`` if topics are missing and stay so."""
        if self._listener is None:
            raise RuntimeError("listen comes before open")
        names: tuple[str, ...] = (self._names.chat, self._names.own)
        topics = Topics(self._access, names)
        self._publisher = Publisher(self._access, self._names, topics, self._clock)
        self._reader = Reader(self._access, self._names, topics, self._clock, self._listener)
        if self._departed is not None:
            self._departures = Departures(self._access, self._names, self._clock, self._departed)
            names = (*names, self._names.user_delete)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._access.options.open_wait_s):
                    await self._connect(Topics(self._access, names), self._publisher, self._reader)
            self._start_what_is_left(self._publisher, self._reader)
        except BaseException:
            await self._end_tasks()
            raise
        self._is_open = True
        self._reader.may_speak.set()

    async def _connect(self, topics: Topics, publisher: Publisher, reader: Reader) -> None:
        """Return when records can be taken and none is missed any more, or at once if Kafka is away."""
        try:
            await self._make_topics(topics)
        except TopicsMissing as missing:
            raise SetupError(f"relay: {missing}") from missing
        except KafkaAway as away:
            _log.warning("Kafka is away", reason=str(away))
            publisher.reason = reader.reason = str(away)
            return
        self._start(publisher.run, "kafka publishing")
        self._start(reader.run, "kafka reading")
        await publisher.connected.wait()
        await reader.placed.wait()

    async def _make_topics(self, topics: Topics) -> None:
        """A broker that refuses has half of the time to change its mind."""
        end_s = self._clock.monotonic() + self._access.options.open_wait_s / 2
        while True:
            try:
                await topics.ready()
            except TopicsRefused:
                if self._clock.monotonic() > end_s:
                    raise
                await asyncio.sleep(self._access.options.retry_least_s)
            else:
                return

    def _start_what_is_left(self, publisher: Publisher, reader: Reader) -> None:
        if not self._tasks:
            self._start(publisher.run, "kafka publishing")
            self._start(reader.run, "kafka reading")
        if self._departures is not None:
            self._start(self._departures.run, "kafka departures")

    async def close(self) -> None:
        """Deliver what was accepted, within its time, and end."""
        self._is_open = False
        if self._publisher is not None:
            await self._publisher.flush(self._access.options.flush_timeout_s)
        if self._reader is not None:
            await self._reader.commit(_LAST_COMMIT_S)
        await self._end_tasks()

    async def ping(self) -> None:
        """Raise ``PartDown`` with the reason if records don't come in, don't go out, or nobody hears of departures."""
        if not self._is_open or self._publisher is None or self._reader is None:
            raise PartDown("the relay is not open")
        for what, reason in (
            ("reading", self._reader.reason),
            ("publishing", self._publisher.reason),
            ("users to be forgotten", self._departures.reason if self._departures is not None else ""),
        ):
            if reason:
                raise PartDown(f"{what}: {reason}")

    def publish(self, record: Record, acknowledge: Acknowledge | None = None) -> None:
        """Hand over a record without waiting."""
        publisher = self._publisher
        if not self._is_open or publisher is None:
            if acknowledge is not None:
                asyncio.get_running_loop().call_soon(acknowledge, Answer.UNKNOWN)
            return
        try:
            lane, key, value = encode(record, self._wire)
        except (ValueError, TypeError):  # a lone surrogate, for instance: no JSON in UTF-8 can be made of it
            publisher.refuse(acknowledge)
        else:
            publisher.publish(lane, key, value, acknowledge)

    @property
    def is_up(self) -> bool:
        """Whether records come in and go out, as far as is known."""
        return (
            self._is_open
            and self._reader is not None
            and self._reader.is_up
            and self._publisher is not None
            and self._publisher.is_up
        )

    def figures(self) -> Sequence[Figure]:
        """For operators."""
        return figures(self._publisher, self._reader, self._departures)

    def _start(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._tasks.append(asyncio.create_task(self._keep(run, name), name=name))

    async def _keep(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run a part that never ends, and again after a defect, its own or its driver's."""
        options = self._access.options
        retrying = Retrying(options.retry_least_s, options.retry_most_s)
        while True:
            try:
                await run()
            except Exception:
                _log.exception("a part of the relay has failed", part=name)
            await retrying.pause()

    async def _end_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
