"""Real servers for tests and for trying things: MariaDB, Redis and Apache Kafka on loopback ports, data in a folder given."""

from .service import NotInstalled, NotStarted, Program, Service
from .services import Services, start_kafka, start_mariadb, start_nginx, start_redis

__all__ = [
    "NotInstalled",
    "NotStarted",
    "Program",
    "Service",
    "Services",
    "start_kafka",
    "start_mariadb",
    "start_nginx",
    "start_redis",
]
