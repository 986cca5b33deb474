"""The topics that the relay needs: found, made where that is allowed, or named in a sentence. Others stay as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from .kafka_client import Access, KafkaAway, bounded, discard_admin, start_admin

_AS_THE_BROKER_LIKES: Final = -1  # understood by brokers, though NewTopic's own check knows nothing of it
_LOOKS: Final = 50
_LOOK_EVERY_S: Final = 0.1


class TopicsMissing(KafkaAway):
    """Topics are not there and may not be made, or not as the settings say. The text says what to create."""


class TopicsRefused(TopicsMissing):
    """The broker has refused to make topics. One that has just started may do so too, and change its mind."""


class Topics:
    """The topics of one relay."""

    def __init__(self, access: Access, names: Sequence[str]) -> None:
        self._access = access
        self._names = names
        self._lock = asyncio.Lock()

    async def ready(self) -> dict[str, list[int]]:
        """Return the partitions of every topic, making what is missing. Raises ``KafkaAway``, or ``TopicsMissing``."""
        async with self._lock:
            admin = self._access.admin()
            within_s = self._access.options.request_timeout_s
            try:
                await start_admin(admin, within_s)
            except KafkaAway as away:
                raise KafkaAway(f"connecting: {await self._access.refusals()}") from away
            try:
                return await self._ready(admin)
            finally:
                await discard_admin(admin, within_s)

    async def _ready(self, admin: AIOKafkaAdminClient) -> dict[str, list[int]]:
        missing: list[str] = []
        for _ in range(_LOOKS):
            found = await self._found(admin)
            if len(found) == len(self._names):
                return found
            if not missing:
                missing = [name for name in self._names if name not in found]
                await self._make(admin, missing)
            await asyncio.sleep(_LOOK_EVERY_S)
        raise KafkaAway(f"topics {', '.join(missing)} have no leaders yet")

    async def _found(self, admin: AIOKafkaAdminClient) -> dict[str, list[int]]:
        """The partitions of the topics that can be used, every partition with a leader."""
        # All topics: asked for by name, a broker may make them as it likes.
        described = await bounded(admin.describe_topics(), self._access.options.request_timeout_s, "asking for topics")
        found: dict[str, list[int]] = {}
        for topic in described:
            partitions: Sequence[dict[str, Any]] = topic["partitions"]
            if topic["topic"] in self._names and partitions and all(one["leader"] >= 0 for one in partitions):
                found[topic["topic"]] = sorted(one["partition"] for one in partitions)
        return found

    async def _make(self, admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
        options = self._access.options
        wanted = (
            f"create {', '.join(names)} with {options.partitions} partitions each"
            f"{f' and {options.replicas} replicas' if options.replicas else ''}"
        )
        if not options.may_create_topics:
            raise TopicsMissing(f"topics are missing: {wanted}, or allow kafka.may_create_topics")
        topics = [NewTopic(name, options.partitions, options.replicas or 1) for name in names]
        if not options.replicas:
            for topic in topics:
                topic.replication_factor = _AS_THE_BROKER_LIKES
        try:
            answer = await bounded(admin.create_topics(topics), options.request_timeout_s, "making topics")
        except AttributeError as defect:  # what the client makes of a cluster that has no controller at the moment
            raise KafkaAway("making topics: the cluster has no controller yet") from defect
        for name, code, *_ in answer.topic_errors:
            error: type[KafkaError] = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise TopicsRefused(f"topic {name} could not be made ({error.__name__}): {wanted}")
