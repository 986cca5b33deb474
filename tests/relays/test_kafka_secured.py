"""A broker that wants TLS and a password."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stompgate.ports.part import PartDown
from tests.relays.kafka_scene import Recorder, broadcast, make_relay, opened, until
from tests.requirements import left_out, require_program
from tests.services import NotInstalled, Service
from tests.services.kafka import Kafka

_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


class SecuredKafka(Kafka):
    """A Kafka whose one listener for clients wants TLS and a password."""

    __slots__ = ()

    @property
    def certificate(self) -> Path:
        """What its clients must trust."""
        return self.folder / "certificate.pem"

    def prepare(self) -> None:
        key = self.folder / "key.pem"
        command = [require_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=kafka", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*command, "-keyout", str(key), "-out", str(self.certificate)], check=True, capture_output=True)
        (self.folder / "both.pem").write_text(key.read_text() + self.certificate.read_text())
        Kafka.prepare(self)

    def _properties(self) -> dict[str, str | int]:
        return Kafka._properties(self) | {
            "listener.security.protocol.map": "PLAINTEXT:SASL_SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.plaintext.plain.sasl.jaas.config": (
                f'{_LOGIN} username="broker" password="own" user_broker="own" user_stompgate="pass@word";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "both.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificate),
        }


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredKafka]:
    folder = Path(tempfile.mkdtemp(prefix="stompgate-kafka-"))
    program = SecuredKafka(folder)
    service = Service(program)
    try:
        service.start()
        yield program
    except NotInstalled as missing:
        left_out(str(missing))
    finally:
        service.kill()
        shutil.rmtree(folder)


async def test_records_go_through_tls_with_a_password(secured: SecuredKafka) -> None:
    url = f"kafka://stompgate:pass%40word@127.0.0.1:{secured.port}"
    relay = make_relay(url, security_protocol="sasl_ssl", tls_ca=str(secured.certificate))
    async with opened(relay) as recorder:
        relay.publish(broadcast(1))
        await until(lambda: recorder.counters() == [1])


@pytest.mark.parametrize(
    ("wrong", "reason"), [("password", "Authentication failed"), ("authority", "CERTIFICATE_VERIFY_FAILED")]
)
async def test_a_relay_that_is_not_let_in_says_why_and_shows_no_secret(secured: SecuredKafka, wrong: str, reason: str) -> None:
    url = f"kafka://stompgate:{'hunter2' if wrong == 'password' else 'pass%40word'}@127.0.0.1:{secured.port}"
    authority = "" if wrong == "authority" else str(secured.certificate)
    relay = make_relay(url, security_protocol="sasl_ssl", tls_ca=authority)
    relay.listen(Recorder())
    await relay.open()
    try:
        with pytest.raises(PartDown, match=reason) as down:
            await relay.ping()
        assert "hunter2" not in str(down.value)
        assert not relay.is_up
    finally:
        await relay.close()
