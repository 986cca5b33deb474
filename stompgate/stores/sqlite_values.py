"""Lists of values in a statement.

Lengths of lists are rounded up to a power of two, so that few texts of statements are ever prepared. No value may become
part of a text: only place holders do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

ROWS_PER_STATEMENT = 256
"""A power of two; with ten values a row it stays far below SQLite's 32,766."""


def slices(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a list into pieces that fit into a statement; no piece of an empty one."""
    for start in range(0, len(values), ROWS_PER_STATEMENT):
        yield values[start : start + ROWS_PER_STATEMENT]


def padded(values: Sequence[T]) -> list[T]:
    """Repeat the last value until the length is a power of two. For statements to which a repeat makes no difference."""
    missing = (1 << (len(values) - 1).bit_length()) - len(values)
    return [*values, *[values[-1]] * missing]


def place_holders(count: int, of_one: str = "?") -> str:
    """Return ``count`` place holders, or groups of them, with commas between."""
    return ", ".join([of_one] * count)
