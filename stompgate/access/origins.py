"""Which pages may call and connect: exact scheme, host and port (RFC 6454), never a part of a name or a pattern."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

EVERY_ORIGIN = "*"
SAME_ORIGIN = "same-origin"

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
    """An allow-list of origins. ``same-origin`` in it admits the server's own pages, by the host that a request names.

    All who ask share one, so that ``allow`` takes effect for them together.
    """

    __slots__ = ("_listed", "_same", "every", "texts")

    def __init__(self, origins: Iterable[str]) -> None:
        self.allow(origins)

    def allow(self, origins: Iterable[str]) -> None:
        """Admit these from now on, and no others."""
        listed = self.texts = tuple(origins)
        self.every = EVERY_ORIGIN in listed
        self._same = SAME_ORIGIN in listed
        self._listed = frozenset(origin for text in listed if (origin := parse_origin(text)) is not None)

    @property
    def admits_same(self) -> bool:
        """Whether the server's own pages are among them."""
        return self.every or self._same

    def admit(self, origin: str, host: str = "") -> bool:
        """Return whether a page of ``origin`` (the header's value) may call. ``host``: the request's Host header, if any.

        Behind a proxy that ends TLS the scheme of our own pages is not ours, so for them host and port alone decide.
        """
        if self.every:
            return True
        parsed = parse_origin(origin)
        if parsed is None:
            return False
        return parsed in self._listed or (self._same and parsed == parse_origin(f"{parsed[0]}://{host}"))
