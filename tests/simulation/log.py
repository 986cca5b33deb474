"""The log of the servers: silent, but for errors, which nobody may make."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, NoReturn

import structlog


@contextmanager
def errors_noted(mishaps: list[str]) -> Iterator[None]:
    """Note what is logged as an error, and drop the rest."""

    def note(_logger: Any, method: str, event: MutableMapping[str, Any]) -> NoReturn:
        if method in ("error", "critical"):
            mishaps.append(str(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[note], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
