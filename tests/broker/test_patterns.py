"""Patterns match what Ant patterns match, as existing clients write them, and no pattern keeps the server busy."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stompgate.broker.patterns import Pattern, has_wildcard
from stompgate.model.causes import Cause, Refusal

ANT_CASES = [
    ("/a/*", "/a/b", True),
    ("/a/*", "/a", False),
    ("/a/*", "/a/b/c", False),
    ("/a/*", "/a/", False),
    ("/a/**", "/a", True),
    ("/a/**", "/a/b", True),
    ("/a/**", "/a/b/c/d", True),
    ("/a/**", "/ab", False),
    ("/a/**", "/a/", True),
    ("/**/c", "/c", True),
    ("/**/c", "/a/b/c", True),
    ("/**/c", "/a/c/b", False),
    ("/a/**/z", "/a/z", True),
    ("/a/**/b/**/z", "/a/x/b/b/y/z", True),
    ("/**", "/", True),
    ("/**/**", "/a/b", True),
    ("/a/?", "/a/b", True),
    ("/a/?", "/a/", False),
    ("/a/?", "/a/bc", False),
    ("/a/?c", "/a/bc", True),
    ("/a/x*y?z", "/a/xyyaz", True),
    ("/a/x*y?z", "/a/xyz", False),
    ("/a/**b", "/a/cab", True),
    ("/a/**b", "/a/c/b", False),
    ("/a/{room}", "/a/b", True),
    ("/a/{room}", "/a", False),
    ("/a/{room}", "/a/", False),
    ("/a/{room}/c", "/a/b/c", True),
    ("/a/{room}/c", "/a/b/b/c", False),
    ("/{방}/*", "/가/나", True),
    ("/a/b", "/a/b", True),
    ("/a/b/", "/a/b", False),
    ("/a/b/", "/a/b/", True),
    ("/a/b", "/a/b/", False),
    ("/A/*", "/a/b", False),
    ("/a/*.txt", "/a/.txt", True),
]


@pytest.mark.parametrize(("pattern", "destination", "expected"), ANT_CASES)
def test_a_pattern_matches_what_ant_patterns_match(pattern: str, destination: str, expected: bool) -> None:
    assert Pattern(pattern).matches(destination) is expected


SEGMENTS = st.text(alphabet="ab*?", max_size=4)
PLAIN_SEGMENTS = st.text(alphabet="ab", max_size=4)


@given(st.lists(SEGMENTS | st.just("**"), max_size=6), st.lists(PLAIN_SEGMENTS, max_size=6))
@example(["**", "a", "**", "b"], ["a", "c", "b", "b"])
def test_matching_by_hand_is_matching_by_definition(pattern: list[str], given: list[str]) -> None:
    assert Pattern("/".join(["", *pattern])).matches("/".join(["", *given])) is naively(["", *pattern], ["", *given])


def naively(pattern: list[str], given: list[str]) -> bool:
    """The definition, written down with recursion."""
    if not pattern:
        return not given
    if pattern[0] == "**":
        return naively(pattern[1:], given) or (bool(given) and naively(pattern, given[1:]))
    return bool(given) and naively_one(pattern[0], given[0]) and naively(pattern[1:], given[1:])


def naively_one(pattern: str, given: str) -> bool:
    if not given:
        return not pattern
    return naively_letters(pattern, given)


def naively_letters(pattern: str, given: str) -> bool:
    if not pattern:
        return not given
    if pattern[0] == "*":
        return naively_letters(pattern[1:], given) or (bool(given) and naively_letters(pattern, given[1:]))
    return bool(given) and pattern[0] in ("?", given[0]) and naively_letters(pattern[1:], given[1:])


class CountedText(str):
    """A text that counts how often one of its characters is looked at."""

    looks = 0

    def __getitem__(self, at: object) -> str:
        CountedText.looks += 1
        return super().__getitem__(at)  # type: ignore[index]


@pytest.mark.parametrize(
    ("pattern", "destination"),
    [
        ("/" + "*a" * 120 + "*b", "/" + "a" * 250),
        ("/" + "?*" * 124, "/" + "a" * 250),
        ("/**/a" * 50 + "/b", "/a" * 125),
        ("/**/*a*a*b" * 20, "/aaaaaaaaaaaa" * 19),
    ],
)
def test_an_evil_pattern_ends_after_as_many_steps_as_the_lengths_multiplied(pattern: str, destination: str) -> None:
    class Counted(Pattern):
        __slots__ = ()

    counted = Counted(pattern)
    counted._segments = tuple(CountedText(segment) for segment in counted._segments)
    CountedText.looks = 0
    counted.matches(destination)
    assert CountedText.looks <= 2 * len(pattern) * len(destination)


@pytest.mark.parametrize(
    "text", ["/a/{", "/a/}", "/a/{}", "/a/x{y}", "/a/{x}y", "/a/{x}{y}", "/a/{x:[a-z]+}", "/a/{ }", "/a/}x{"]
)
def test_braces_that_are_no_whole_segment_are_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        Pattern(text)
    assert refused.value.cause is Cause.BAD_DESTINATION


@pytest.mark.parametrize(
    ("text", "expected"), [("/a/b", False), ("/a/*", True), ("/a/b?", True), ("/a/{b}", True), ("/a/}", True)]
)
def test_a_pattern_is_told_from_a_plain_destination(text: str, expected: bool) -> None:
    assert has_wildcard(text) is expected
