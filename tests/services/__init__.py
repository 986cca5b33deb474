"""Real servers for tests and for trying things: a database, Redis and Kafka on loopback ports, data in a folder given."""

from .service import NotInstalled, NotStarted, Program, Service
from .services import (
    Services,
    database,
    start_brokers,
    start_database,
    start_kafka,
    start_nginx,
    start_redis,
    start_together,
)

__all__ = [
    "NotInstalled",
    "NotStarted",
    "Program",
    "Service",
    "Services",
    "database",
    "start_brokers",
    "start_database",
    "start_kafka",
    "start_nginx",
    "start_redis",
    "start_together",
]
