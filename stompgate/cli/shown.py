"""What commands print: tables for people, JSON for programs. Texts of users are hostile: none may steer a terminal or table."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE_COLUMNS: Final = 100
_PIPE_COLUMNS: Final = 10_000
_BEYOND_ASCII_CONTROLS: Final = re.compile(r"[^\x00-\x7e]")
"""What JSON lets stand as it is and a terminal may obey; DEL is among them."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. ``whole``: never cut short. ``wide``: shown only where there is room. ``number``: to the right."""

    name: str
    whole: bool = False
    wide: bool = False
    number: bool = False


def fit_to_terminal() -> None:
    """Write out also what the terminal's encoding lacks, instead of failing at it."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def clean(text: object) -> str:
    """The text with all that is no visible sign written out, as ``\\x1b`` or ``\\u202e``."""
    return "".join(sign if _is_visible(sign) else sign.encode("unicode_escape").decode() for sign in str(text))


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: cut to the terminal's width, or whole and without colours where none reads it."""
    console = _console()
    is_wide = not console.is_terminal or console.width >= WIDE_COLUMNS
    kept = [n for n, column in enumerate(columns) if is_wide or not column.wide]
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in (columns[n] for n in kept):
        # Rich takes from the columns that may wrap; what is in them does not, and is cut.
        made.add_column(column.name, justify="right" if column.number else "left", no_wrap=column.whole or column.number)
    for row in rows:
        made.add_row(*(Text(clean(row[n]), no_wrap=True, overflow="ellipsis") for n in kept))
    console.print(made)


def line(*pieces: tuple[object, str]) -> None:
    """Print one line of texts, each with its style, at once."""
    console = _console()
    console.print(Text.assemble(*((clean(text), style) for text, style in pieces)), soft_wrap=True)
    sys.stdout.flush()


def document(value: Any) -> None:
    """Print JSON over several lines."""
    print(_json(value, indent=2))


def json_line(value: Any) -> None:
    """Print JSON on one line, at once."""
    print(_json(value), flush=True)


def duration(seconds: float) -> str:
    """A span of time in two figures at most: 41s, 5m, 3h05m, 12d."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days >= 2:
        return f"{days}d"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m" if minutes else f"{int(seconds)}s"


def moment(timestamp: str) -> str:
    """A time of the server's, to the second."""
    return timestamp.partition(".")[0].replace("T", " ")


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)


def _json(value: Any, indent: int | None = None) -> str:
    is_utf8 = sys.stdout.encoding.lower() == "utf-8"  # another has no place for some signs, and JSON has escapes of its own
    text = json.dumps(value, ensure_ascii=not is_utf8, indent=indent)
    return _BEYOND_ASCII_CONTROLS.sub(lambda found: found[0] if _is_visible(found[0]) else _escaped(found[0]), text)


def _escaped(sign: str) -> str:
    return json.dumps(sign)[1:-1] if sign != "\x7f" else "\\u007f"


def _is_visible(sign: str) -> bool:
    return sign.isprintable() or unicodedata.category(sign) == "Zs"
