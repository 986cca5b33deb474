"""The subscription router: who receives what is sent to a destination.

Sending to a destination costs in proportion to its receivers. Patterns stand beside the exact destinations and cost
nothing where there are none; where there are, what they match is remembered per destination. The router knows neither
sockets nor frames: a subscription says by its ``encoding`` which others can take the very same bytes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from .patterns import Pattern, has_wildcard

_REMEMBERED_MATCHES = 1024


class Routed(Protocol):
    """What the router must know of a subscription: its destination (or pattern), and whose bytes it can share."""

    @property
    def destination(self) -> str: ...

    @property
    def encoding(self) -> Hashable: ...


S = TypeVar("S", bound=Routed)


class Topic(Generic[S]):
    """The subscriptions of one destination or pattern, grouped by encoding. A dict is a set here that keeps its order."""

    __slots__ = ("groups", "name", "pattern")

    def __init__(self, name: str) -> None:
        self.name = name
        self.pattern = Pattern(name) if has_wildcard(name) else None
        self.groups: dict[Hashable, dict[S, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))


class Router(Generic[S]):
    """Subscriptions by destination."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic[S]] = {}
        self._patterns: dict[str, Topic[S]] = {}
        self._matches: dict[str, tuple[Topic[S], ...]] = {}
        self._count = 0

    def add(self, subscription: S) -> None:
        """Let a subscription receive from now on. Adding it again does nothing."""
        name = subscription.destination
        topic = self._find(name)
        if topic is None:
            topic = Topic(name)
            if topic.pattern is None:
                self._topics[name] = topic
            else:
                self._patterns[name] = topic
                self._matches.clear()
        group = topic.groups.setdefault(subscription.encoding, {})
        if subscription not in group:
            group[subscription] = None
            self._count += 1

    def discard(self, subscription: S) -> None:
        """Let a subscription receive no more. Discarding one that is not there does nothing."""
        topic = self._find(subscription.destination)
        if topic is None:
            return
        group = topic.groups.get(subscription.encoding)
        if group is None or subscription not in group:
            return
        del group[subscription]
        self._count -= 1
        if group:
            return
        del topic.groups[subscription.encoding]
        if not topic.groups:
            self._forget(topic)

    def topics_for(self, destination: str) -> Sequence[Topic[S]]:
        """The topics whose subscriptions receive what is sent to a plain destination."""
        exact = self._topics.get(destination)
        if not self._patterns:
            return (exact,) if exact is not None else ()
        matched = self._matching(destination)
        return (exact, *matched) if exact is not None else matched

    def topic(self, destination: str) -> Topic[S] | None:
        """The topic of exactly this destination, patterns left aside."""
        return self._topics.get(destination)

    def __len__(self) -> int:
        return self._count

    @property
    def destinations(self) -> int:
        """How many destinations and patterns have a subscription."""
        return len(self._topics) + len(self._patterns)

    def _find(self, name: str) -> Topic[S] | None:
        topic = self._topics.get(name)
        return topic if topic is not None else self._patterns.get(name)

    def _matching(self, destination: str) -> tuple[Topic[S], ...]:
        matched = self._matches.get(destination)
        if matched is None:
            matched = tuple(t for t in self._patterns.values() if t.pattern is not None and t.pattern.matches(destination))
            if len(self._matches) >= _REMEMBERED_MATCHES:
                del self._matches[next(iter(self._matches))]
            self._matches[destination] = matched
        return matched

    def _forget(self, topic: Topic[S]) -> None:
        if topic.pattern is None:
            del self._topics[topic.name]
        else:
            del self._patterns[topic.name]
            self._matches.clear()
