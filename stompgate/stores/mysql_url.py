"""The URL of a store in MySQL or MariaDB: ``mysql://user:password@host:port/database``. Nothing is opened here."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from stompgate.ports.part import SetupError

from .mysql import MysqlSettings, MysqlStore
from .mysql_connection import Address

DEFAULT_PORT = 3306


def from_url(url: str, *, server_id: str, options: Mapping[str, Any] | None = None, **_others: object) -> MysqlStore:
    """Return the store that the settings mean, not opened yet. Raises ``SetupError`` if the URL or ``tls_ca`` is of no use."""
    settings = MysqlSettings(**options or {})
    return MysqlStore(address_of(url, tls=trust(settings.tls_ca)), server_id=server_id, settings=settings)


def address_of(url: str, *, tls: ssl.SSLContext | None = None) -> Address:
    """Return where ``url`` leads. Percent signs escape, as in every URL; the port is 3306 unless it says another."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise SetupError(f"store: {error}") from error
    database = unquote(parts.path.removeprefix("/"))
    if not (host and parts.username and database) or "/" in database or parts.query or parts.fragment:
        raise SetupError("store: expected mysql://user:password@host:port/database, with nothing behind the database")
    return Address(host, port, unquote(parts.username), unquote(parts.password or ""), database, tls)


def trust(tls_ca: str) -> ssl.SSLContext | None:
    """Return whom to trust: the certificates in a file, those of the system for "system", None for "": no TLS at all."""
    if not tls_ca:
        return None
    try:
        return ssl.create_default_context(cafile=None if tls_ca == "system" else tls_ca)
    except OSError as error:  # ssl.SSLError too
        raise SetupError(f"mysql.tls_ca: cannot read certificates from {tls_ca}: {error}") from error
