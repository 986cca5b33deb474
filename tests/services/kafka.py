"""Apache Kafka from the artifacts that ``java/pom.xml`` names: a process that is broker and controller, or several."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import find_program

from .kept import kept_port
from .service import NotInstalled, NotStarted

JARS = Path(__file__).parent / "java" / "jars"
ARCHIVE = JARS / "classes.jsa"
_CLUSTER_ID = "c3RvbXBnYXRlLXRlc3RzIQ"
_READY_LINE = "Kafka Server started"
_FORMAT_DEADLINE_S = 60.0
_CONNECT_TIMEOUT_S = 1.0
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


@dataclass(frozen=True, slots=True)
class Kafka:
    """A Kafka in a folder. Topics are made only by those who ask for it.

    ``cluster`` names the folders of all brokers of a cluster, its own among them; without it the broker is alone. A broker
    of a cluster is ready once most of them have been started. Leaders go back to the first of their replicas by themselves.

    Its clients go where it tells them to. For proxies to stand between, ``proxies`` names the port of each: in front of
    ``listener_port`` with its number in this tuple, which tells everyone who comes by it to come by the proxy.
    """

    folder: Path
    proxies: tuple[int, ...] = ()
    jvm_options: tuple[str, ...] = (f"-XX:SharedArchiveFile={ARCHIVE}",)
    cluster: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """Kafka, with the broker's number if there are several."""
        return f"Kafka {self.number}" if self.cluster else "Kafka"

    @property
    def number(self) -> int:
        """Its node id."""
        return self.cluster.index(self.folder) + 1 if self.cluster else 1

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return kept_port(self.folder)

    @property
    def url(self) -> str:
        """Its address."""
        return f"kafka://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Write its properties, and format its folder the first time."""
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()))
        if (self._data / "meta.properties").exists():
            return
        shutil.rmtree(self._data, ignore_errors=True)
        tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
        if not self.cluster:
            tool.append("--standalone")
        made = subprocess.run(
            [*_java(self.jvm_options), *tool],
            capture_output=True,
            text=True,
            timeout=_FORMAT_DEADLINE_S,
            check=False,
            cwd=self.folder,
        )
        if made.returncode != 0:
            raise NotStarted(f"Kafka's folder could not be formatted:\n{made.stdout}{made.stderr}")

    def command(self) -> list[str]:
        """The server in the foreground, logging to standard error."""
        return [*_java(self.jvm_options), "kafka.Kafka", str(self.folder / "server.properties")]

    def is_ready(self, log: str) -> bool:
        """It has said so, and accepts connections. An open port alone comes too early."""
        if _READY_LINE not in log:
            return False
        try:
            socket.create_connection(("127.0.0.1", self.port), _CONNECT_TIMEOUT_S).close()
        except OSError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _properties(self) -> dict[str, str | int]:
        # The data folder knows the controller by its port, so that one is kept as well.
        listeners = f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller_port(self.folder)}"
        brokers = self.cluster or (self.folder,)
        controllers = [f"127.0.0.1:{controller_port(folder)}" for folder in brokers]
        proxied = [(number, listener_port(self.folder, number), proxy) for number, proxy in enumerate(self.proxies)]
        return {
            "process.roles": "broker,controller",
            "node.id": self.number,
            **(self._of_cluster(controllers) if self.cluster else {"controller.quorum.bootstrap.servers": controllers[0]}),
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join([listeners, *(f"PROXY{n}://127.0.0.1:{port}" for n, port, _ in proxied)]),
            "advertised.listeners": ",".join([listeners, *(f"PROXY{n}://127.0.0.1:{proxy}" for n, _, proxy in proxied)]),
            "listener.security.protocol.map": ",".join(
                f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER", *(f"PROXY{n}" for n, _, _ in proxied))
            ),
            "log.dirs": str(self._data),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": len(brokers),
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": len(brokers),
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": len(brokers),
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            # A killed broker's registration outlives it by this much, and its next life waits for that.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            "metadata.max.idle.interval.ms": 0,  # else the controller writes twice a second that it has nothing to write
            "log.cleaner.dedupe.buffer.size": 4194304,
            "log.index.size.max.bytes": 1048576,
        }

    @staticmethod
    def _of_cluster(controllers: Sequence[str]) -> dict[str, str | int]:
        return {
            "controller.quorum.voters": ",".join(f"{number}@{address}" for number, address in enumerate(controllers, 1)),
            "default.replication.factor": len(controllers),
            "min.insync.replicas": max(1, len(controllers) - 1),
            "controller.socket.timeout.ms": 2000,  # else brokers wait 30 s for a controller that is paused
            "leader.imbalance.check.interval.seconds": 1,
            "leader.imbalance.per.broker.percentage": 0,
        }


def controller_port(folder: Path) -> int:
    """The port of the controller of a Kafka in that folder."""
    return kept_port(folder, "controller-port")


def listener_port(folder: Path, number: int) -> int:
    """The port behind the proxy with that number, of a Kafka in that folder."""
    return kept_port(folder, f"listener-{number}-port")


def _java(options: tuple[str, ...]) -> list[str]:
    """The start of a command that runs a class of Kafka."""
    found = find_program("java")
    if found is None:
        raise NotInstalled("java is not installed; on Debian the package openjdk-17-jre-headless brings it")
    jars = sorted(JARS.glob("*.jar"))
    if not jars:
        raise NotInstalled(f"Kafka is not in {JARS}; tests/set-up.sh fetches it with Maven")
    return [found, *_JVM, *options, *_LOGGING, "-cp", ":".join(map(str, jars))]
