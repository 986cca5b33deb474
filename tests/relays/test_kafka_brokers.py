"""A Kafka of three brokers, of which some are killed, silent or back: leadership moves, and the relay goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from stompgate.ports.relay import Answer
from stompgate.relays.kafka_client import discard_admin, discard_producer, start_admin, start_producer
from tests.daemon.pair import HASTY, answers, health, watched
from tests.daemon_process import Daemon, Launch
from tests.relays.kafka_scene import (
    Answers,
    OtherProgram,
    all_came_once_in_order,
    chat,
    figure,
    make_relay,
    opened,
    publish_until,
    split,
    until,
)
from tests.services import Service, Services
from tests.torture.cluster import owed
from tests.wire_client import connected, make_room

RECEIPTED = ("RECEIPT", "")
KAFKA_IS_AWAY = {"not reading from Kafka", "not publishing to Kafka", "not listening for users to be forgotten"}
TOPICS = ("chat", "stompgate-v1", "user-delete")
_TRIES = 8


@pytest.fixture
def fresh_url(brokers: list[Service], _prefixes: Iterator[int]) -> Callable[[int], str]:
    """Makes URLs of relays whose topics nobody else has. The broker with that number comes first in them."""
    prefix = f"?prefix=b{next(_prefixes)}-"

    def make(first: int = 1) -> str:
        ports = [brokers[first - 1].port, *(broker.port for broker in brokers if broker is not brokers[first - 1])]
        return f"kafka://{','.join(f'127.0.0.1:{port}' for port in ports)}{prefix}"

    return make


def led_by(program: OtherProgram, is_so: Callable[[int], bool]) -> Callable[[], Awaitable[bool]]:
    """Asks whether that is so of the leader of the chat's first partition."""

    async def ask() -> bool:
        return is_so((await program.partition("chat")).leader)

    return ask


def in_sync(program: OtherProgram, *numbers: int) -> Callable[[], Awaitable[bool]]:
    """Asks whether just these brokers are in sync with that partition's leader."""

    async def ask() -> bool:
        return (await program.partition("chat")).in_sync == numbers

    return ask


def all_say(status: str, *servers: Daemon) -> Callable[[], Awaitable[bool]]:
    """Asks whether all servers say that of themselves, because of the relay alone if at all."""

    async def ask() -> bool:
        said = [await health(server) for server in servers]
        wrong = {name for _, _, parts in said for name, part in parts.items() if part["status"] != "up"}
        return all((code, state) == (200, status) for code, state, _ in said) and wrong <= {"relay"}

    return ask


def nothing_is_owed(store: str) -> Callable[[], Awaitable[bool]]:
    """Asks whether every row of the outbox was published."""

    async def ask() -> bool:
        return await asyncio.to_thread(owed, store) == 0

    return ask


async def test_leadership_moves_and_nothing_is_lost_doubled_or_out_of_order(
    brokers: list[Service], fresh_url: Callable[..., str]
) -> None:
    program, given, stop = OtherProgram(fresh_url()), Answers(), asyncio.Event()
    await program.make(*TOPICS, partitions=3, replicas=3)
    leader = (await program.partition("chat")).leader
    url = fresh_url(leader)
    # The leaders are other ones before the records in flight are given up.
    sender, other = make_relay(url, delivery_timeout_s=30.0, stalled_after_s=30.0), make_relay(url)
    async with opened(sender) as own, opened(other) as others:
        publishing = asyncio.create_task(publish_until(sender, given, stop))

        async def goes_on() -> None:
            sent = len(given.of)
            await until(lambda: all(recorder.seqs()[-1:] > [sent + 50] for recorder in (own, others)), "records come")

        await goes_on()
        await asyncio.to_thread(brokers[leader - 1].kill)
        await until(led_by(program, lambda now: now not in (leader, -1)), "another leads")
        await goes_on()
        async with opened(make_relay(url)) as late:  # the first broker in its URL is the one that is gone
            await until(lambda: late.seqs() != [], "it reads")
        await asyncio.to_thread(brokers[leader - 1].start)
        await until(led_by(program, lambda now: now == leader), "the first one leads again, and all are alive")
        await goes_on()
        stop.set()
        await publishing
        await all_came_once_in_order(given, own, others)


async def test_a_broker_that_is_silent_keeps_nobody_from_the_others(
    brokers: list[Service], fresh_url: Callable[..., str]
) -> None:
    program, given = OtherProgram(fresh_url(2)), Answers()
    await program.make(*TOPICS, replicas=3)
    brokers[0].pause()
    await until(led_by(program, lambda now: now not in (1, -1)), "another leads")
    relay = make_relay(fresh_url(), request_timeout_s=3.0)
    for _ in range(_TRIES):  # the driver asks them in any order
        admin = relay._access.admin()
        await start_admin(admin, relay._access.options.request_timeout_s)
        await discard_admin(admin, 1.0)
    async with opened(relay) as recorder:
        relay.publish(chat(1), given.to(1))
        await until(lambda: given.of[1] == [Answer.TAKEN] and recorder.seqs() == [1], "records flow")


async def test_a_producer_that_was_turning_to_several_brokers_leaves_nothing_behind(
    brokers: list[Service], fresh_url: Callable[..., str]
) -> None:
    url = fresh_url()
    await OtherProgram(url).make("chat", partitions=3, replicas=3)
    topic = f"{split(url)[1]}chat"
    access = make_relay(url)._access
    producer = access.producer()
    await start_producer(producer, 30.0)  # brokers that were paused need a moment
    await producer.partitions_for(topic)
    for broker in brokers:
        broker.pause()
    sent = [await producer.send(topic, b"to each", partition=partition) for partition in range(3)]
    await asyncio.sleep(0)
    await discard_producer(producer, 0.2)
    for answer in sent:
        answer.cancel()
    # and the fixture sees that nothing runs


async def test_partitions_that_others_lead_are_taken_up_while_records_flow(
    brokers: list[Service], fresh_url: Callable[..., str]
) -> None:
    program, given, stop = OtherProgram(fresh_url()), Answers(), asyncio.Event()
    await program.make(*TOPICS, replicas=2)
    sender, other = make_relay(fresh_url()), make_relay(fresh_url())
    async with opened(sender), opened(other) as others:
        publishing = asyncio.create_task(publish_until(sender, given, stop))
        await until(lambda: len(others.seqs()) > 50, "records are on their way")
        await program.grow("chat", 4)
        await until(lambda: figure(sender, "rebuilds_total", "publisher") > 0, "the sender has noticed")
        sent = len(given.of)
        await until(lambda: len(given.of) > sent + 50, "it goes on")
        stop.set()
        await publishing
        await until(lambda: given.are_complete and len(others.seqs()) == len(given.of), "all have come")
        assert sorted(others.seqs()) == sorted(given.with_answer(Answer.TAKEN)) == sorted(given.of)


async def test_without_the_last_replica_in_sync_chat_goes_on_and_follows_once_when_it_is_back(
    brokers: list[Service], fresh_url: Callable[..., str], services: Services, launch: Launch
) -> None:
    program = OtherProgram(fresh_url())
    await program.make("chat", replicas=2, configs={"min.insync.replicas": "1"})
    store, relay = services.fresh_store_url(), fresh_url()
    first, second = (launch({**HASTY, "server_id": f"server-{n}", "relay": relay}, "--store", store) for n in (1, 2))
    for daemon in (first, second):
        daemon.expected_log |= KAFKA_IS_AWAY
    room = await make_room(first.url)
    async with connected(first.ws_url, "seller") as here, connected(second.ws_url, "seller") as there:
        for client in (here, there):
            await client.subscribe(f"/sub/chat/room/{room}", "room")
        assert await answers(first, room, "1") == [RECEIPTED]
        chat_on = await program.partition("chat")
        last, other = (brokers[number - 1] for number in sorted(chat_on.replicas, key=lambda number: number != chat_on.leader))
        await asyncio.to_thread(other.kill)
        await until(in_sync(program, chat_on.leader), "one replica is left")
        await asyncio.to_thread(last.kill)
        await asyncio.to_thread(other.start)  # two of three brokers are there again; what they have of the topic is old
        await until(led_by(program, lambda now: now == -1), "nobody leads")
        await until(all_say("degraded", first, second), "both servers say so")
        assert await answers(first, room, "2", "3") == [RECEIPTED] * 2
        assert await asyncio.to_thread(owed, store) >= 2
        await asyncio.to_thread(last.start)
        await until(all_say("ready", first, second), "both servers are ready")
        assert await answers(second, room, "4") == [RECEIPTED]
        for client in (here, there):
            assert await watched(client, 4) == [(seq, str(seq)) for seq in range(1, 5)]
        await until(nothing_is_owed(store), "the outbox is empty")
