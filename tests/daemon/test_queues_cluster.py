"""One queue over two servers on MariaDB, Kafka and Redis: in calm weather, and when a server or the database is killed."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import count

import pytest
import pytest_asyncio

from stompgate.ports.store import LEASE_S
from stompgate.stomp.frames import Frame
from tests.stores.mysql_rows import ask
from tests.torture.cluster import Cluster
from tests.wire_client import WireClient, connected

from .pair import DEADLINE_S, HASTY, all_ready, eventually, pair, ws_url

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOK_EVERY_S = 30.0
"""Longer than anything here may take: what comes sooner comes by a hint, or by the look of a consumer that has just come."""

MARGIN_S = 5.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp("queues")
    async with pair(folder, {**HASTY, "queues": {"look_every_s": LOOK_EVERY_S}}) as cluster:
        await all_ready(cluster)
        yield cluster


@pytest.fixture
def queue() -> str:
    return f"/queue/{uuid.uuid4()}"


def send(queue: str, body: str, **headers: str) -> Frame:
    return Frame("SEND", {"destination": queue, **headers}, body.encode())


async def bodies(client: WireClient, number: int) -> list[str]:
    return [(await client.expect("MESSAGE")).body.decode() for _ in range(number)]


def waiting(cluster: Cluster, queue: str) -> int:
    """How many messages a queue has, by the database itself."""
    found = ask(cluster.services["store"].url, "SELECT COUNT(*) FROM sg_queue_message WHERE queue = %s", (queue,))
    return int(found[0][0])


async def rest(cluster: Cluster, queue: str, last: str = "the last one") -> list[str]:
    """All that waits in a queue nobody consumes, to its end."""
    async with connected(ws_url(cluster.members[0])) as client:
        await client.ask(send(queue, last))
        await client.subscribe(queue, "rest")
        found: list[str] = []
        while last not in found:
            found += await bodies(client, 1)
        return found[:-1]


async def test_what_is_put_on_one_server_is_consumed_on_the_other_by_a_hint(cluster: Cluster, queue: str) -> None:
    one, two = cluster.members
    async with connected(ws_url(one)) as sender, connected(ws_url(two)) as consumer:
        await consumer.subscribe(queue)
        for number in range(5):
            await sender.ask(send(queue, f"{number}", kind="x:\ny"))
            message = await consumer.expect("MESSAGE")
            assert (message.body.decode(), message.headers["kind"]) == (f"{number}", "x:\ny")
            assert "redelivered" not in message.headers


async def test_what_one_server_returns_is_consumed_on_the_other_by_a_hint(cluster: Cluster, queue: str) -> None:
    one, two = cluster.members
    async with connected(ws_url(two)) as other:
        async with connected(ws_url(one)) as holder:
            await holder.subscribe(queue, ack="client-individual")
            await holder.ask(send(queue, "x"))
            await holder.expect("MESSAGE")
            await other.subscribe(queue, ack="client-individual")
        message = await other.expect("MESSAGE")
        assert message.headers["redelivered"] == "true"
        await other.ask(Frame("ACK", {"id": message.headers["ack"]}))
    assert await rest(cluster, queue) == []


async def test_competing_consumers_on_two_servers_get_each_message_once(cluster: Cluster, queue: str) -> None:
    senders, each, taken = 4, 50, Counter[str]()
    expected = Counter(f"{sender}.{number}" for sender in range(senders) for number in range(each))

    async def put(sender: int) -> None:
        async with connected(ws_url(cluster.members[sender % 2])) as client:
            for number in range(each):
                await client.ask(send(queue, f"{sender}.{number}"))

    async def consume(consumer: int) -> None:
        headers = {"ack": "auto"} if consumer % 4 == 0 else {"ack": "client-individual", "prefetch_count": "3"}
        async with connected(ws_url(cluster.members[consumer % 2])) as client:
            await client.subscribe(queue, **headers)
            while True:
                message = await client.expect("MESSAGE")
                taken[message.body.decode()] += 1
                if "ack" in message.headers:
                    await client.send_frames(Frame("ACK", {"id": message.headers["ack"]}))

    consumers = [asyncio.create_task(consume(number)) for number in range(6)]
    try:
        await asyncio.gather(*(put(number) for number in range(senders)))
        async with asyncio.timeout(DEADLINE_S):
            while taken.total() < expected.total() and not any(task.done() for task in consumers):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        for task in consumers:
            task.cancel()
        await asyncio.gather(*consumers, return_exceptions=True)
    assert taken == expected


async def test_what_was_receipted_survives_a_kill_of_the_database(cluster: Cluster, queue: str) -> None:
    store, receipted, sent = cluster.services["store"], list[str](), 300

    async def put(client: WireClient) -> Sequence[str]:
        for number in range(sent):
            await client.send_frames(send(queue, f"{number}", receipt=f"{number}"))
            answer = await client.frame()
            if answer.command == "ERROR":
                assert answer.headers["code"] in ("store-unavailable", "outcome-unknown"), answer
                return receipted
            receipted.append(answer.headers["receipt-id"])
        return receipted

    async with connected(ws_url(cluster.members[0])) as client:
        putting = asyncio.create_task(put(client))
        async with asyncio.timeout(DEADLINE_S):
            while len(receipted) < 20:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.to_thread(store.kill)
        await putting
    assert len(receipted) < sent
    await asyncio.to_thread(store.start)
    await all_ready(cluster)
    found = await rest(cluster, queue)
    assert found[: len(receipted)] == receipted
    assert len(found) <= len(receipted) + 1, "one was not answered"


async def test_what_a_killed_server_held_comes_back_within_its_lease(cluster: Cluster, queue: str) -> None:
    lives, dies = cluster.members
    async with connected(ws_url(lives)) as client, connected(ws_url(dies)) as holder:
        await holder.subscribe(queue, ack="client")
        for body in ("1", "2", "3"):
            await client.ask(send(queue, body))
        held = [await holder.expect("MESSAGE") for _ in range(3)]
        await holder.ask(Frame("ACK", {"id": held[0].headers["ack"]}))

        async def is_settled() -> bool:
            return await asyncio.to_thread(waiting, cluster, queue) == 2

        await eventually(is_settled, "the first message is gone")
        await asyncio.to_thread(dies.daemon.signal, signal.SIGKILL)
        await asyncio.to_thread(dies.daemon.wait)
        found: list[Frame] = []
        async with asyncio.timeout(LEASE_S + MARGIN_S):
            for number in count():
                await client.subscribe(queue, f"s{number}")  # a new consumer has the queue looked at
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        while len(found) < 2:
                            found.append(await client.expect("MESSAGE"))
                if len(found) == 2:
                    break
    assert [(frame.body.decode(), frame.headers["redelivered"]) for frame in found] == [("2", "true"), ("3", "true")]
    await asyncio.to_thread(dies.daemon.start)
    await all_ready(cluster)
    assert await rest(cluster, queue) == []
