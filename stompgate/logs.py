"""The log: one stream for our events and those of the libraries, readable on a terminal and JSON otherwise.

Nothing here takes effect by being imported. What a peer sent must never reach the stream with a control character in it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from .bursts import BurstLimits, Bursts, ThreadTimers
from .settings import Log

# C0, DEL, C1, line and paragraph separators, and what turns the direction of writing.
_HIDDEN = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HIDDEN}
_ESCAPES_BUT_LINES = {code: escape for code, escape in _ESCAPES.items() if chr(code) != "\n"}


def configure(settings: Log, stream: TextIO | None = None) -> None:
    """Send every event of structlog and of the standard library's loggers to ``stream`` (standard error).

    To be called once, at the start of the process; calling again replaces what was there.
    """
    target = sys.stderr if stream is None else stream
    readable = settings.format == "console" or (settings.format == "auto" and target.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    handler = _Stream(target, BurstLimits(settings.burst_lines, settings.burst_s))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _Texts(settings.text_limit_chars),
                _console(colours=target.isatty()) if readable else structlog.processors.JSONRenderer(_to_json),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Below that they write a line for each connection and, at debug, what was in its frames.
    logging.getLogger("websockets").setLevel(logging.WARNING)
    # Its warnings are what any peer can make it say, as often as it likes.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    # While there is no broker it writes thousands of lines a second. The relay says itself what has become of it.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _Stream(logging.StreamHandler[TextIO]):
    """Writes to a stream; what comes too often is summed up, and what was not told yet when it is closed is told then."""

    def __init__(self, stream: TextIO, limits: BurstLimits) -> None:
        super().__init__(stream)
        self._bursts = Bursts(limits, ThreadTimers(), self._write)
        self.addFilter(self._bursts)

    def close(self) -> None:
        """Called also at the end of the process, by ``logging`` itself."""
        self._bursts.tell()
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        self.acquire()
        try:
            self.emit(record)
        finally:
            self.release()


class _Texts:
    """Writes control characters in all texts of an event as escapes, and of none more than ``limit_chars``.

    A stranger's request of 15 KB was a line of 25 KB, and so more than 1 MB of log a second. A traceback stays whole, in lines.
    """

    def __init__(self, limit_chars: int) -> None:
        self._limit_chars = limit_chars

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        return {
            escape(key): value.translate(_ESCAPES_BUT_LINES)
            if key == "exception" and isinstance(value, str)
            else self._escaped(value)
            for key, value in event.items()
        }

    def _escaped(self, value: object) -> object:
        match value:
            case str():
                return escape(self._cut(value))
            case dict():
                return {self._escaped(key): self._escaped(held) for key, held in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._escaped(held) for held in value]
            case None | bool() | int() | float():
                return value
            case _:
                return escape(self._cut(str(value)))

    def _cut(self, text: str) -> str:
        return text if len(text) <= self._limit_chars else f"{text[: self._limit_chars]}… ({len(text)} characters)"


def escape(text: str) -> str:
    """Return ``text`` on one line, with ``\\xNN`` or ``\\uNNNN`` in the place of each control character."""
    return text.translate(_ESCAPES)


def _console(*, colours: bool) -> Callable[[Any, str, MutableMapping[str, Any]], str]:
    return structlog.dev.ConsoleRenderer(
        colors=colours, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
    )


def _to_json(event: object, **_options: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
