"""Users whom other programs want forgotten: one server is told of each, until it has succeeded."""

from __future__ import annotations

import asyncio

import pytest

from stompgate.ports.part import PartDown
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable
from stompgate.relays.kafka_departures import read_user
from tests.relays.kafka_scene import OtherProgram, broadcast, make_relay, opened, until
from tests.services import Services

JUNK: list[bytes] = [b"", b"   ", b"\xff\xfe", b"x" * 256, "가".encode() * 256, b"x" * 10_000]


class Told:
    """Keeps who is to be forgotten, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.failures: list[Exception] = []

    async def __call__(self, user: str) -> None:
        self.users.append(user)
        if self.failures:
            raise self.failures.pop(0)


@pytest.mark.parametrize("value", [None, *JUNK])
def test_what_names_nobody_is_junk(value: bytes | None) -> None:
    assert read_user(value) is None


@pytest.mark.parametrize(
    ("value", "user"),
    [(b"a@example.org", "a@example.org"), (b" a@example.org\n", "a@example.org"), ("가".encode() * 255, "가" * 255)],
)
def test_a_user_is_plain_text(value: bytes, user: str) -> None:
    assert read_user(value) == user


async def test_of_each_user_one_server_is_told_also_of_those_of_before_the_first_start(services: Services) -> None:
    url, first, second = services.fresh_relay_url(), Told(), Told()
    program = OtherProgram(url)
    await program.make("user-delete", partitions=2)
    await program.write("user-delete", b"before@example.org", key=None)
    one, other = make_relay(url), make_relay(url)
    one.listen_for_departures(first)
    other.listen_for_departures(second)
    async with opened(one), opened(other):
        await until(lambda: "before@example.org" in first.users + second.users)
        await until(lambda: _works(one, other), "both are members of the group")
        users = [f"user{number}@example.org" for number in range(10)]
        for number, user in enumerate(users):
            await program.write("user-delete", user.encode(), key=None, partition=number % 2)
        await until(lambda: set(users) <= {*first.users, *second.users})
        told = [user for user in first.users + second.users if user in users]
        assert sorted(told) == users, "one of them was told, once"
    await program.write("user-delete", b"after@example.org", key=None)
    again, third = make_relay(url), Told()
    again.listen_for_departures(third)
    async with opened(again):
        await until(lambda: third.users == ["after@example.org"], "what was done stays done")


async def test_who_could_not_be_forgotten_is_told_again_and_chat_goes_on(services: Services) -> None:
    url, told = services.fresh_relay_url(), Told()
    told.failures = [StoreUnavailable("down"), OutcomeUnknown("lost"), StoreUnavailable("down")]
    relay = make_relay(url)
    relay.listen_for_departures(told)
    async with opened(relay) as recorder:
        await OtherProgram(url).write("user-delete", b"a@example.org", b"b@example.org", key=None, partition=0)
        await until(lambda: len(told.users) >= 1)
        relay.publish(broadcast(1))
        await until(lambda: recorder.counters() == [1])
        await until(lambda: told.users == ["a@example.org"] * 4 + ["b@example.org"])


async def test_a_server_that_goes_before_it_has_succeeded_leaves_the_user_to_another(services: Services) -> None:
    url, never, told = services.fresh_relay_url(), Told(), Told()
    never.failures = [StoreUnavailable("down") for _ in range(1000)]
    relay = make_relay(url)
    relay.listen_for_departures(never)
    async with opened(relay):
        await OtherProgram(url).write("user-delete", b"a@example.org", key=None)
        await until(lambda: never.users != [])
    other = make_relay(url)
    other.listen_for_departures(told)
    async with opened(other):
        await until(lambda: told.users == ["a@example.org"])


async def test_a_callback_that_breaks_a_promise_is_told_again_and_harms_nothing_else(services: Services) -> None:
    url, told = services.fresh_relay_url(), Told()
    told.failures = [ValueError("a defect")]
    relay = make_relay(url)
    relay.listen_for_departures(told)
    async with opened(relay) as recorder:
        await OtherProgram(url).write("user-delete", b"a@example.org", key=None)
        await until(lambda: told.users == ["a@example.org"] * 2)
        relay.publish(broadcast(1))
        await until(lambda: recorder.counters() == [1])


async def test_junk_is_counted_and_what_follows_it_is_heard(services: Services) -> None:
    url, told = services.fresh_relay_url(), Told()
    relay = make_relay(url, partitions=1)
    relay.listen_for_departures(told)
    async with opened(relay):
        await OtherProgram(url).write("user-delete", *JUNK, b"a@example.org", key=None)
        await until(lambda: told.users == ["a@example.org"])
        junk = [one.value for one in relay.figures() if one.name == "stompgate_relay_departures_junk_total"]
        assert junk == [len(JUNK)]


async def test_its_topic_may_go_without_disturbing_chat(services: Services) -> None:
    url, told = services.fresh_relay_url(), Told()
    relay, program = make_relay(url), OtherProgram(url)
    relay.listen_for_departures(told)
    async with opened(relay) as recorder:
        await until(lambda: _works(relay), "all of it works")
        await program.delete("user-delete")

        async def is_there() -> bool:
            return await program.partitions("user-delete") > 0

        await until(is_there, "it is made again")
        await until(lambda: _works(relay), "all of it works again")
        await program.write("user-delete", b"a@example.org", key=None)
        await until(lambda: told.users == ["a@example.org"])
        assert (recorder.resets, relay.is_up) == (1, True)


async def _works(*relays: object) -> bool:
    for relay in relays:
        try:
            await relay.ping()  # type: ignore[attr-defined]
        except PartDown:
            return False
        await asyncio.sleep(0)
    return True
