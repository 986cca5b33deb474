"""Competing consumers take turns; who has no credit is passed over and keeps its place."""

from __future__ import annotations

from dataclasses import dataclass

from stompgate.broker.queues import Consumers


@dataclass(eq=False)
class Somebody:
    name: str
    credit: int


def dealt(consumers: Consumers[Somebody], number: int) -> str:
    names = []
    for _ in range(number):
        somebody = consumers.next()
        if somebody is None:
            names.append("-")
        else:
            somebody.credit -= 1
            names.append(somebody.name)
    return "".join(names)


def consumers_of(*everybody: Somebody) -> Consumers[Somebody]:
    consumers: Consumers[Somebody] = Consumers()
    for somebody in everybody:
        consumers.add(somebody)
    return consumers


def test_consumers_are_served_in_turn() -> None:
    assert dealt(consumers_of(Somebody("a", 9), Somebody("b", 9), Somebody("c", 9)), 7) == "abcabca"


def test_nobody_is_given_more_than_there_is_credit_for() -> None:
    consumers = consumers_of(Somebody("a", 1), Somebody("b", 3))
    assert consumers.credit == 4
    assert dealt(consumers, 6) == "abbb--"
    assert consumers.credit == 0


def test_who_was_passed_over_is_next_when_there_is_credit_again() -> None:
    first, second = Somebody("a", 0), Somebody("b", 9)
    consumers = consumers_of(first, second)
    assert dealt(consumers, 3) == "bbb"
    first.credit = 1
    assert dealt(consumers, 3) == "abb"


def test_who_left_is_given_nothing() -> None:
    first, second = Somebody("a", 9), Somebody("b", 9)
    consumers = consumers_of(first, second)
    consumers.discard(first)
    consumers.discard(first)
    assert (dealt(consumers, 2), len(consumers)) == ("bb", 1)
