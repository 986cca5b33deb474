"""What a URL with ``kafka:`` may say, and what is told of one that makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stompgate.ports.part import SetupError
from stompgate.relays.kafka import KafkaRelay
from stompgate.relays.kafka_options import KafkaOptions, Names
from stompgate.relays.kafka_url import from_url
from stompgate.settings import Kafka
from tests.fakes import FakeClock


def relay(url: str, **settings: Any) -> KafkaRelay:
    return from_url(url, server_id="chat-server-1", clock=FakeClock(), zone=None, options=Kafka(**settings).model_dump())


@pytest.mark.parametrize(
    "url",
    [
        "kafka://localhost:9092",
        "kafka://localhost:9092/",
        "kafka://one:9092,two:9092,10.0.0.3:9093",
        "kafka://[::1]:9092",
        "kafka://localhost:9092?prefix=test-1.a_",
        "kafka://localhost:9092?prefix=",
    ],
)
def test_brokers_and_a_prefix_are_taken(url: str) -> None:
    assert isinstance(relay(url), KafkaRelay)


@pytest.mark.parametrize(
    "url",
    [
        "kafka:",
        "kafka://",
        "kafka://localhost",
        "kafka://localhost:port",
        "kafka://localhost:9092,",
        "kafka://localhost:9092/topic",
        "kafka://localhost:9092#part",
        "kafka://localhost:9092?topic=chat",
        "kafka://localhost:9092?prefix=a%20b",
        "kafka://localhost:9092?prefix=" + "x" * 41,
        "kafka://user:secret@localhost:9092",
    ],
)
def test_anything_else_is_told_without_repeating_it(url: str) -> None:
    with pytest.raises(SetupError, match=r"^relay: ") as refused:
        relay(url)
    assert "secret" not in str(refused.value)


def test_a_password_and_its_protocol_go_together() -> None:
    relay("kafka://user:pass%40word@localhost:9092", security_protocol="sasl_plaintext")
    with pytest.raises(SetupError, match="security_protocol"):
        relay("kafka://localhost:9092", security_protocol="sasl_plaintext")


def test_authorities_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    relay("kafka://localhost:9092", security_protocol="ssl")
    nowhere = str(tmp_path / "ca.pem")
    with pytest.raises(SetupError, match=r"tls_ca: .*ca\.pem cannot be read"):
        relay("kafka://localhost:9092", security_protocol="ssl", tls_ca=nowhere)
    with pytest.raises(SetupError, match="tls_ca is of no use"):
        relay("kafka://localhost:9092", tls_ca=nowhere)


def test_the_prefix_goes_before_every_name() -> None:
    names = Names.of(KafkaOptions(**Kafka().model_dump()), "p-", "chat-server-1")
    assert names == Names("p-chat", "p-stompgate-v1", "p-user-delete", "p-team5-chat-server-1", "p-team5-stompgate")
