"""Where a server listens, by the settings: its ports, their TLS, and how many connections the system lets it have."""

from __future__ import annotations

import resource
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from stompgate.ports.part import SetupError
from stompgate.transports.listener import Listener

from .settings import Listen, Settings

_RESERVED_FILES = 64
"""File descriptors kept for everything but connections: the store, the log, refusals."""


@dataclass(frozen=True, slots=True)
class Port:
    """Where to listen. Without ``tls`` in clear text; else ``certificate`` and ``key`` are the files it was made from."""

    host: str
    number: int
    tls: ssl.SSLContext | None
    certificate: str = ""
    key: str = ""

    def address(self, listener: Listener) -> str:
        """How a client on this machine calls it, once it is open."""
        host = f"[{self.host}]" if ":" in self.host else self.host or "localhost"
        return f"{host}:{listener.addresses[0][1]}"


def connection_limit(listen: Listen) -> int:
    """How many connections there may be: the setting, within what the open files of this process allow."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    possible = hard - _RESERVED_FILES
    return min(listen.max_connections, possible) if listen.max_connections else possible


def tls_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """The TLS of a port, None for clear text. Raises ``SetupError`` for files that cannot be used."""
    if not certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"the TLS certificate {certificate} and its key cannot be used: {error}") from error
    return context


def ports(settings: Settings) -> Sequence[Port]:
    """The ports to listen on, the one for everything first. Raises ``SetupError``."""
    listen, tcp = settings.listen, settings.tcp
    first = _port(listen.host, listen.port, listen.tls_certificate, listen.tls_key)
    if tcp.port < 0:
        return [first]
    host = tcp.host or listen.host
    if tcp.clear_text:
        return [first, Port(host, tcp.port, None)]
    if tcp.tls_certificate:
        return [first, _port(host, tcp.port, tcp.tls_certificate, tcp.tls_key)]
    return [first, Port(host, tcp.port, first.tls, first.certificate, first.key)]


def _port(host: str, number: int, certificate: str, key: str) -> Port:
    return Port(host, number, tls_context(certificate, key), certificate, key)
