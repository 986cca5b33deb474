"""What a URL ``redis://`` or ``rediss://`` means. It connects to nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.exceptions import RedisError

from stompgate.chat.session_wire import SessionTexts
from stompgate.ports.clock import Clock
from stompgate.ports.part import SetupError

from .redis import RedisLimits, RedisSessions
from .redis_line import Connect

_EXPECTED = "sessions: expected redis://host:6379/0 or rediss://host:6379/0, user:password@ before the host if need be"


def from_url(
    url: str, *, server_id: str, clock: Clock, zone: tzinfo | None, options: Mapping[str, Any], **_others: object
) -> RedisSessions:
    """Return presence in the Redis that ``url`` names, not opened yet. Raises ``SetupError`` if it makes no sense.

    ``?prefix=NAME`` puts NAME before every key; whatever else stands there is the driver's (``ssl_ca_certs=…``).
    """
    limits = RedisLimits(**options)
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        prefix = query.pop("prefix", "")
        connect = _connect(urlunsplit(parts._replace(query=urlencode(query))), limits.deadline_s)
    except (ValueError, TypeError, RedisError) as error:
        raise SetupError(_EXPECTED) from error
    if not parts.hostname or not re.fullmatch(r"(/\d*)?", parts.path):
        raise SetupError(_EXPECTED)
    return RedisSessions(connect, server_id=server_id, clock=clock, texts=SessionTexts(zone), prefix=prefix, limits=limits)


def _connect(url: str, deadline_s: float) -> Connect:
    # Deadlines are the line's: the driver's own for single reads would only add timers.
    arguments: dict[str, Any] = {**parse_url(url), "socket_timeout": None, "socket_connect_timeout": deadline_s, "protocol": 2}
    kind: type[AbstractConnection] = arguments.pop("connection_class", Connection)
    kind(**arguments)  # an option that is none raises TypeError now and not when Redis is needed
    return lambda: kind(**arguments)
