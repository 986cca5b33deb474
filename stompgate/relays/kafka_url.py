"""The URL of a relay through Kafka: ``kafka://[user:password@]host:port[,host:port…][?prefix=NAME]``. Nothing is opened here.

The prefix goes before the name of every topic and group, so that several installations can share one Kafka.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from stompgate.ports.clock import Clock
from stompgate.ports.part import SetupError

from .kafka import KafkaRelay
from .kafka_client import Access
from .kafka_options import KafkaOptions, Names

_EXPECTED: Final = "relay: expected kafka://host:port, further host:port after commas, and perhaps ?prefix=NAME"
_SERVER: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", re.ASCII)
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,40}", re.ASCII)


def from_url(
    url: str, *, server_id: str, clock: Clock, zone: tzinfo | None, options: Mapping[str, Any], **_others: object
) -> KafkaRelay:
    """Return the relay that the settings mean, not opened yet. Raises ``SetupError`` if they make no sense."""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, colon, password = credentials.partition(":")
    servers = tuple(hosts.split(","))
    if parts.path not in ("", "/") or parts.fragment or not all(_SERVER.fullmatch(server) for server in servers):
        raise SetupError(_EXPECTED)
    chosen = KafkaOptions(**options)
    if chosen.security_protocol.startswith("sasl") != bool(user and colon):
        raise SetupError("relay: kafka.security_protocol sasl_… and kafka://user:password@… go together")
    access = Access(
        servers=servers,
        client_id=f"stompgate-{server_id}",
        user=unquote(user),
        password=unquote(password),
        tls=_tls(chosen),
        options=chosen,
    )
    return KafkaRelay(access, Names.of(chosen, _prefix(parts.query), server_id), clock, zone)


def _prefix(query: str) -> str:
    fields = dict(parse_qsl(query, keep_blank_values=True))
    prefix = fields.pop("prefix", "")
    if fields or not _PREFIX.fullmatch(prefix):
        raise SetupError("relay: expected nothing but ?prefix= behind the hosts, with up to 40 of the signs A-Z a-z 0-9 . _ -")
    return prefix


def _tls(options: KafkaOptions) -> ssl.SSLContext | None:
    if not options.security_protocol.endswith("ssl"):
        if options.tls_ca:
            raise SetupError('relay: kafka.tls_ca is of no use without kafka.security_protocol = "ssl" or "sasl_ssl"')
        return None
    try:
        return ssl.create_default_context(cafile=options.tls_ca or None)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"relay: kafka.tls_ca: {options.tls_ca} cannot be read: {error}") from error
