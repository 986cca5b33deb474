"""What the relay through Kafka is told by its URL and its section of the settings. Nothing is looked up or opened here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaOptions:
    """The keys of the settings' section ``kafka``, which says what each means. There are no defaults here but those there."""

    chat_topic: str
    own_topic: str
    user_delete_topic: str
    group_prefix: str
    user_delete_group: str
    may_create_topics: bool
    partitions: int
    replicas: int
    security_protocol: str
    sasl_mechanism: str
    tls_ca: str
    open_wait_s: float
    request_timeout_s: float
    delivery_timeout_s: float
    stalled_after_s: float
    flush_timeout_s: float
    retry_least_s: float
    retry_most_s: float
    metadata_age_s: float
    commit_every_s: float
    member_timeout_s: float
    in_flight_records: int
    in_flight_bytes: int
    record_limit_bytes: int
    batch_limit_bytes: int
    pace_ms: float
    read_limit_records: int
    congestion_wait_s: float


@dataclass(frozen=True, slots=True)
class Names:
    """The topics and groups of one installation on one server, prefix included."""

    chat: str
    own: str
    user_delete: str
    group: str
    user_delete_group: str

    @classmethod
    def of(cls, options: KafkaOptions, prefix: str, server_id: str) -> Self:
        return cls(
            chat=prefix + options.chat_topic,
            own=prefix + options.own_topic,
            user_delete=prefix + options.user_delete_topic,
            group=f"{prefix}{options.group_prefix}{server_id}",
            user_delete_group=prefix + options.user_delete_group,
        )
