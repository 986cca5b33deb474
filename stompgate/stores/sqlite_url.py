"""The URL of an SQLite store: ``sqlite:relative/path`` or ``sqlite:///absolute/path``. Nothing is opened here."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from stompgate.ports.part import SetupError

from .sqlite import SqliteStore


def from_url(url: str, *, server_id: str, **_others: object) -> SqliteStore:
    """Return the store that the settings mean, not opened yet. Raises ``SetupError`` if the URL names no file."""
    return SqliteStore(path_of(url), server_id=server_id)


def path_of(url: str) -> Path:
    """Return the file that ``url`` names. Percent signs escape, as in every URL."""
    parts = urlsplit(url)
    if parts.netloc or parts.query or parts.fragment or not parts.path or parts.path.endswith("/"):
        raise SetupError("store: expected sqlite:relative/path or sqlite:///absolute/path, with nothing behind the path")
    return Path(unquote(parts.path))
