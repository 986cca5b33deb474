"""The three servers that a person tries things with: they outlive the command that starts them, and the next one finds them."""

from __future__ import annotations

from pathlib import Path

from .kafka import Kafka
from .mariadb import MariaDB
from .redis import Redis
from .service import Service

DEFAULT_FOLDER = Path("var/services")


def lasting_services(folder: Path) -> dict[str, Service]:
    """The servers with data in ``folder``, by the environment variable that tells stompgate their URL. Nothing is started."""
    return {
        "STOMPGATE_STORE": Service(MariaDB(folder / "mariadb"), lasting=True),
        "STOMPGATE_RELAY": Service(Kafka(folder / "kafka"), lasting=True),
        "STOMPGATE_SESSIONS": Service(Redis(folder / "redis"), lasting=True),
    }
