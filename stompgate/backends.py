"""Which backend a URL means: a scheme maps to an import string, and the driver is imported only when it is chosen.

Others add theirs by entry points in the groups ``stompgate.stores``, ``stompgate.relays``, ``stompgate.sessions`` and
``stompgate.mail``, named by the scheme. This module must never import a backend to find out what there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from enum import Enum
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from stompgate.ports.clock import Clock
from stompgate.ports.part import SetupError

from .settings import redact_url


class Make(Protocol):
    """What an import string names: it makes the part, unopened, from the whole URL.

    ``zone`` is the time zone of the times in messages, None for the system's. ``options`` are the keys of the backend's own
    section of the settings; a backend from elsewhere has none, and takes them from its URL. More may be given by name in
    times to come, so it ends in ``**others``.
    """

    def __call__(self, url: str, *, server_id: str, clock: Clock, zone: tzinfo | None, options: Mapping[str, Any]) -> Any:
        """Return a part that keeps the contract of its port. Raises ``SetupError`` where the URL makes no sense to it."""


class Kind(Enum):
    """What a backend can be for: the key of the settings, and the entry points and schemes of our own for it."""

    STORE = (
        "store",
        "stompgate.stores",
        {"sqlite": "stompgate.stores.sqlite_url:from_url", "mysql": "stompgate.stores.mysql_url:from_url"},
    )
    RELAY = (
        "relay",
        "stompgate.relays",
        {"local": "stompgate.relays.local:from_url", "kafka": "stompgate.relays.kafka_url:from_url"},
    )
    SESSIONS = (
        "sessions",
        "stompgate.sessions",
        {
            "memory": "stompgate.sessions.memory:from_url",
            "redis": "stompgate.sessions.redis_url:from_url",
            "rediss": "stompgate.sessions.redis_url:from_url",
        },
    )
    MAIL = (
        "mail",
        "stompgate.mail",
        {
            "log": "stompgate.mail.log:from_url",
            "smtp": "stompgate.mail.smtp_url:from_url",
            "smtps": "stompgate.mail.smtp_url:from_url",
        },
    )

    def __init__(self, key: str, group: str, ours: dict[str, str]) -> None:
        self.key = key
        self.group = group
        self.ours = ours


def known(kind: Kind) -> dict[str, EntryPoint]:
    """Return the backends of a kind by scheme: what is installed beside us, and ours above it."""
    found = {point.name: point for point in entry_points(group=kind.group)}
    return found | {scheme: EntryPoint(scheme, name, kind.group) for scheme, name in kind.ours.items()}


def objection(kind: Kind, url: str) -> str:
    """Return what was expected instead of ``url``, "" if its scheme is known."""
    schemes = known(kind)
    if url.partition(":")[0] in schemes:
        return ""
    return f"a URL with one of the schemes {', '.join(f'{scheme}:' for scheme in sorted(schemes))}"


def resolve(kind: Kind, url: str) -> Make:
    """Import the backend that ``url`` chooses. Raises ``SetupError`` if there is none, or if its driver is not installed."""
    if expected := objection(kind, url):
        raise SetupError(f"{kind.key}: expected {expected}, not {redact_url(url)}")
    scheme = url.partition(":")[0]
    try:
        make: Make = known(kind)[scheme].load()
    except ImportError as error:
        raise SetupError(f"{kind.key}: the backend for {scheme}: cannot be imported: {error}") from error
    return make
