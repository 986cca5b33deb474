"""Ant-style destination patterns.

``?`` is one character, ``*`` any characters of one segment, ``**`` any segments, ``{name}`` one segment.

They are matched by hand, in steps that the two lengths multiplied bound. No regular expression is ever made from a
client's text, so no pattern can make the server think for long (CVE-2018-1257).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stompgate.model.causes import Cause, Refusal

_WILD = frozenset("*?{}")


def has_wildcard(destination: str) -> bool:
    """Tell a pattern from a plain destination."""
    return not _WILD.isdisjoint(destination)


class Pattern:
    """A pattern made ready for matching. Raises ``Refusal`` (BAD_DESTINATION) for braces around less than a segment."""

    __slots__ = ("_segments", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._segments = tuple(_segment(part) for part in text.split("/"))

    def matches(self, destination: str) -> bool:
        """Whether a plain destination fits the pattern. Case counts; only ``**`` and an empty segment fit an empty segment."""
        return _fits(self._segments, destination.split("/"), "**", _segment_fits)


def _segment(part: str) -> str:
    if "{" not in part and "}" not in part:
        return part
    name = part[1:-1]
    if part[0] == "{" and part[-1] == "}" and name.isidentifier():
        return "*"  # a name captures what one star would match; nothing here asks for the value
    raise Refusal(Cause.BAD_DESTINATION, "In a pattern, {name} stands for one whole segment.")


def _segment_fits(pattern: str, given: str) -> bool:
    if pattern == given or not given:
        return pattern == given  # not even a star stands for a segment that is not there
    return _fits(pattern, given, "*", _sign_fits)


def _sign_fits(pattern: str, given: str) -> bool:
    return pattern in ("?", given)


def _fits(pattern: Sequence[str], given: Sequence[str], star: str, one_fits: Callable[[str, str], bool]) -> bool:
    """Match two rows of signs or segments, where ``star`` stands for any number of them.

    There is only ever one step back: of all stars seen, the last is the only one worth widening.
    """
    at, position = 0, 0
    last_star, resume = -1, 0
    while position < len(given):
        if at < len(pattern) and pattern[at] == star:
            last_star, resume = at, position
            at += 1
        elif at < len(pattern) and one_fits(pattern[at], given[position]):
            at += 1
            position += 1
        elif last_star >= 0:
            resume += 1
            at, position = last_star + 1, resume
        else:
            return False
    return all(part == star for part in pattern[at:])
