"""Which pages of other origins may call: exact scheme, host and port (RFC 6454), never a part of a name or a pattern."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

EVERY_ORIGIN = "*"

_DEFAULT_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


def parse_origin(text: str) -> Origin | None:
    """Return scheme, host and port of a serialised origin, None for ``null`` and whatever is no origin of a page."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None or not parts.hostname or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, default if port is None else port


class AllowedOrigins:
    """An allow-list of origins."""

    __slots__ = ("_listed", "every")

    def __init__(self, origins: Iterable[str]) -> None:
        listed = tuple(origins)
        self.every = EVERY_ORIGIN in listed
        self._listed = frozenset(origin for text in listed if (origin := parse_origin(text)) is not None)

    def admit(self, origin: str) -> bool:
        """Return whether a page of ``origin`` (the header's value) may call."""
        return self.every or parse_origin(origin) in self._listed
