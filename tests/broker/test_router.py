"""Who receives what: exactly those who subscribed to it by name or pattern, each once, whatever came and went before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stompgate.broker import router as router_module
from stompgate.broker.patterns import Pattern, has_wildcard
from stompgate.broker.router import Router, Topic


@dataclass(frozen=True)
class Sub:
    name: str
    destination: str
    encoding: str = "one"


def receivers(topics: Iterable[Topic[Sub]]) -> list[Sub]:
    return [sub for topic in topics for group in topic.groups.values() for sub in group]


DESTINATIONS = ["/a", "/a/b", "/a/b/c", "/x", "/a/*", "/a/**", "/**", "/{x}", "/a/?"]
PLAIN = ["/a", "/a/b", "/a/b/c", "/x", "/y/z"]
SUBS = st.builds(Sub, st.sampled_from("pqr"), st.sampled_from(DESTINATIONS), st.sampled_from(["one", "two"]))


class AgainstANaiveRouter(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.router: Router[Sub] = Router()
        self.naive: set[Sub] = set()

    @rule(sub=SUBS)
    def add(self, sub: Sub) -> None:
        self.router.add(sub)
        self.naive.add(sub)

    @rule(sub=SUBS)
    def discard(self, sub: Sub) -> None:
        self.router.discard(sub)
        self.naive.discard(sub)

    @rule(destination=st.sampled_from(PLAIN))
    def send(self, destination: str) -> None:
        topics = self.router.topics_for(destination)
        assert all(len(topic) for topic in topics), "what nobody subscribes to any more is forgotten"
        found = receivers(topics)
        assert len(found) == len(set(found))
        assert set(found) == {sub for sub in self.naive if receives(sub, destination)}
        exact = self.router.topic(destination)
        assert set(receivers([exact] if exact else [])) == {sub for sub in self.naive if sub.destination == destination}

    @invariant()
    def holds_no_more_than_there_is(self) -> None:
        assert len(self.router) == len(self.naive)
        assert {*self.router._topics, *self.router._patterns} == {sub.destination for sub in self.naive}
        assert all(group for topic in self.router._topics.values() for group in topic.groups.values())


def receives(sub: Sub, destination: str) -> bool:
    return (
        sub.destination == destination if not has_wildcard(sub.destination) else Pattern(sub.destination).matches(destination)
    )


TestAgainstANaiveRouter = AgainstANaiveRouter.TestCase
TestAgainstANaiveRouter.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_subscriptions_that_share_bytes_share_a_group() -> None:
    router: Router[Sub] = Router()
    same = [Sub(name, "/a") for name in "pqr"]
    other = Sub("s", "/a", "two")
    for sub in (*same, other):
        router.add(sub)
    (topic,) = router.topics_for("/a")
    assert topic.groups == {"one": dict.fromkeys(same), "two": {other: None}}
    assert len(topic) == 4


def test_receivers_keep_the_order_in_which_they_came() -> None:
    router: Router[Sub] = Router()
    subs = [Sub(str(number), "/a") for number in range(50)]
    for sub in subs:
        router.add(sub)
    router.add(subs[0])
    assert receivers(router.topics_for("/a")) == subs


@given(st.lists(st.integers(0, 3000), max_size=5), st.booleans())
@settings(deadline=None, max_examples=10)
def test_remembered_matches_are_bounded_and_right(again: list[int], pattern_goes: bool) -> None:
    router: Router[Sub] = Router()
    star, deep = Sub("p", "/a/*"), Sub("p", "/a/**")
    router.add(star)
    router.add(deep)
    for number in range(2 * router_module._REMEMBERED_MATCHES):
        assert set(receivers(router.topics_for(f"/a/{number}"))) == {star, deep}
    assert len(router._matches) <= router_module._REMEMBERED_MATCHES
    if pattern_goes:
        router.discard(star)
    for number in again:
        assert set(receivers(router.topics_for(f"/a/{number}"))) == ({deep} if pattern_goes else {star, deep})


def test_discarding_what_was_never_added_does_nothing() -> None:
    router: Router[Sub] = Router()
    router.discard(Sub("p", "/a"))
    router.add(Sub("p", "/a"))
    router.discard(Sub("p", "/a", "two"))
    router.discard(Sub("q", "/a"))
    assert receivers(router.topics_for("/a")) == [Sub("p", "/a")]
    assert router.topics_for("/b") == ()


def test_adding_and_sending_cost_the_same_however_many_ways_of_encoding_there_are() -> None:
    router: Router[Sub] = Router()
    counted = CountedGroups()
    router.add(Sub("first", "/a"))
    topic = router.topic("/a")
    assert topic is not None
    topic.groups = counted
    for number in range(200):
        router.add(Sub("p", "/a", str(number)))
        router.discard(Sub("p", "/a", str(number - 1)))
    assert counted.walks == 0


class CountedGroups(dict):  # type: ignore[type-arg]
    """Groups that count how often someone walks over all of them."""

    walks = 0

    def values(self) -> object:  # type: ignore[override]
        self.walks += 1
        return super().values()
