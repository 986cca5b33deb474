"""Users whom other programs want forgotten: each announcement is given to one server of the group until it has succeeded.

It is a member of its group, apart from the reading of chat, and its trouble never reaches that. An announcement is committed
only after it has taken effect, so one may be heard again, here or on another server.
"""

from __future__ import annotations

from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stompgate.ports.clock import Clock
from stompgate.ports.relay import Departed
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

from .kafka_client import Access, KafkaAway, bounded, discard_consumer, start_consumer
from .kafka_options import Names
from .kafka_topics import Topics
from .retrying import Retrying

USER_LIMIT_CHARS: Final = 255

_POLL_MS: Final = 1000
_READ_LIMIT_RECORDS: Final = 16

_log = structlog.get_logger("stompgate.kafka")


class Departures:
    """Tells ``departed`` of users. ``run`` is its life, in a task of its owner's."""

    def __init__(self, access: Access, names: Names, clock: Clock, departed: Departed) -> None:
        self._access = access
        self._options = access.options
        self._names = names
        self._topics = Topics(access, (names.user_delete,))
        self._clock = clock
        self._departed = departed
        self.reason = "not connected yet"
        self.told = 0
        self.junk = 0
        self.rebuilds = 0

    async def run(self) -> None:
        """Keep listening, for ever."""
        retrying = Retrying(self._options.retry_least_s, self._options.retry_most_s)
        while True:
            try:
                await self._topics.ready()
                consumer = self._access.consumer(self._names.user_delete_group, topic=self._names.user_delete)
                # Its start ends when the group has agreed on who reads what.
                joined_s = self._options.member_timeout_s + self._options.request_timeout_s
                await start_consumer(consumer, joined_s)
            except KafkaAway as away:
                self._note(str(away))
                await retrying.pause()
                continue
            begun_s = self._clock.monotonic()
            self._note("")
            try:
                await self._listen(consumer)
            except KafkaAway as away:
                self._note(str(away))
            finally:
                await discard_consumer(consumer, self._options.request_timeout_s)
            self.rebuilds += 1
            retrying.lasted(self._clock.monotonic() - begun_s)
            await retrying.pause()

    async def _listen(self, consumer: AIOKafkaConsumer) -> None:
        """Tell of each user in turn. Ends with ``KafkaAway``, and only so."""
        while True:
            try:
                fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_READ_LIMIT_RECORDS)
            except KafkaError as error:
                raise KafkaAway(f"reading users to be forgotten: {error or type(error).__name__}") from error
            for partition, messages in fetched.items():
                for message in messages:
                    if partition not in consumer.assignment():
                        break  # it is another server's by now
                    user = read_user(message.value)
                    if user is None:
                        self.junk += 1
                    else:
                        await self._tell(user)
                    await self._commit(consumer, partition, message.offset + 1)
            if not consumer.partitions_for_topic(self._names.user_delete):
                raise KafkaAway(f"topic {self._names.user_delete} is gone")

    async def _tell(self, user: str) -> None:
        retrying = Retrying(self._options.retry_least_s, self._options.retry_most_s)
        while True:
            try:
                await self._departed(user)
            except (StoreUnavailable, OutcomeUnknown) as error:
                _log.warning("a user could not be forgotten yet", user=user, reason=str(error) or type(error).__name__)
                await retrying.pause()
            else:
                self.told += 1
                return

    async def _commit(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
        await bounded(consumer.commit({partition: offset}), self._options.request_timeout_s, "committing a user's end")

    def _note(self, reason: str) -> None:
        if reason and reason != self.reason:
            _log.warning("not listening for users to be forgotten", reason=reason)
        self.reason = reason


def read_user(value: bytes | None) -> str | None:
    """The user's id of an announcement; None if it names nobody."""
    if not value or len(value) > 4 * USER_LIMIT_CHARS:
        return None
    try:
        user = value.decode().strip()
    except UnicodeDecodeError:
        return None
    return user if 0 < len(user) <= USER_LIMIT_CHARS else None
