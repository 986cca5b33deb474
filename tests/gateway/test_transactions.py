"""Between BEGIN and COMMIT nothing has an effect; COMMIT lets all of it happen or nothing; every other end is an ABORT."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator

import pytest

from stompgate.stomp.frames import Frame
from tests.daemon_process import Daemon
from tests.wire_client import WireClient, connected, make_room


def begin(name: str = "t") -> Frame:
    return Frame("BEGIN", {"transaction": name})


def commit(name: str = "t") -> Frame:
    return Frame("COMMIT", {"transaction": name})


def chat(room: str, content: str, **headers: str) -> Frame:
    return Frame("SEND", {"destination": f"/pub/room/{room}/message", **headers}, json.dumps({"content": content}).encode())


def broadcast(destination: str, body: str, **headers: str) -> Frame:
    return Frame("SEND", {"destination": destination, **headers}, body.encode())


@pytest.fixture
async def client(shared_daemon: Daemon) -> AsyncIterator[WireClient]:
    async with connected(shared_daemon.ws_url, "buyer") as client:
        yield client


@pytest.fixture
async def room(shared_daemon: Daemon) -> str:
    return await make_room(shared_daemon.url)


async def contents(client: WireClient, number: int) -> list[str]:
    return [json.loads((await client.expect("MESSAGE")).body)["content"] for _ in range(number)]


async def test_what_is_sent_in_a_transaction_comes_together_at_its_commit(client: WireClient, room: str) -> None:
    topic = f"/topic/{uuid.uuid4()}"
    await client.subscribe(f"/sub/chat/room/{room}", "room")
    await client.subscribe(topic, "topic")
    await client.ask(begin())
    await client.ask(chat(room, "first", transaction="t"))  # its RECEIPT says that it is held
    await client.ask(broadcast(topic, "then", transaction="t"))
    await client.ask(chat(room, "second", transaction="t"))
    await client.ask(chat(room, "outside"))
    assert await contents(client, 1) == ["outside"]
    await client.ask(commit())
    assert await contents(client, 2) == ["first", "second"]
    assert (await client.expect("MESSAGE")).body == b"then"


async def test_an_aborted_transaction_has_no_effect(client: WireClient, room: str) -> None:
    await client.subscribe(f"/sub/chat/room/{room}", "room")
    await client.ask(begin())
    await client.ask(chat(room, "never", transaction="t"))
    await client.ask(Frame("ABORT", {"transaction": "t"}))
    await client.ask(chat(room, "after"))
    assert await contents(client, 1) == ["after"]


async def test_one_message_that_may_not_be_stored_keeps_all_of_them_out(
    client: WireClient, room: str, shared_daemon: Daemon
) -> None:
    foreign = await make_room(shared_daemon.url, buyer="somebody", seller="else")
    topic = f"/topic/{uuid.uuid4()}"
    async with connected(shared_daemon.ws_url, "buyer") as other:
        await other.subscribe(f"/sub/chat/room/{room}", "room")
        await other.subscribe(topic, "topic")
        await client.ask(begin())
        await client.ask(chat(room, "never", transaction="t"))
        await client.ask(broadcast(topic, "never", transaction="t"))
        await client.ask(chat(foreign, "not mine", transaction="t"))
        await client.send_frames(Frame("COMMIT", {"transaction": "t", "receipt": "bad"}))
        refused = await client.refused()
        assert (refused.code, refused.receipt_id) == ("no-such-room", "bad")
        await other.ask(chat(room, "after"))
        assert await contents(other, 1) == ["after"]


async def test_a_connection_that_ends_aborts_its_transactions(client: WireClient, room: str, shared_daemon: Daemon) -> None:
    await client.subscribe(f"/sub/chat/room/{room}", "room")
    async with connected(shared_daemon.ws_url, "buyer") as leaver:
        await leaver.ask(begin())
        await leaver.ask(chat(room, "never", transaction="t"))
    await client.ask(chat(room, "after"))
    assert await contents(client, 1) == ["after"]


async def test_an_ack_in_a_transaction_settles_at_its_commit_alone(client: WireClient) -> None:
    topic = f"/topic/{uuid.uuid4()}"
    await client.subscribe(topic, "s", ack="client-individual")
    await client.send(topic, "x")
    ack = {"id": (await client.expect("MESSAGE")).headers["ack"]}
    for end in ("ABORT", "COMMIT"):
        await client.ask(begin())
        await client.ask(Frame("ACK", {**ack, "transaction": "t"}))
        await client.ask(Frame(end, {"transaction": "t"}))
    await client.send_frames(Frame("ACK", ack))
    assert (await client.refused()).code == "unknown-ack", "the COMMIT has settled it, the ABORT had not"


async def test_a_message_acknowledged_twice_keeps_the_whole_transaction_out(client: WireClient, shared_daemon: Daemon) -> None:
    topic, news = f"/topic/{uuid.uuid4()}", f"/topic/{uuid.uuid4()}"
    async with connected(shared_daemon.ws_url, "buyer") as other:
        await other.subscribe(news, "s")
        await client.subscribe(topic, "s", ack="client-individual")
        await client.send(topic, "x")
        ack = {"id": (await client.expect("MESSAGE")).headers["ack"]}
        await client.ask(begin())
        await client.ask(broadcast(news, "never", transaction="t"))
        await client.ask(Frame("ACK", {**ack, "transaction": "t"}))
        await client.ask(Frame("ACK", ack))
        await client.send_frames(commit())
        assert (await client.refused()).code == "unknown-ack"
        await other.send(news, "after")
        assert (await other.expect("MESSAGE")).body == b"after"


@pytest.mark.parametrize("named", [[0, 0], [1, 0], [0, 1, 1]])
async def test_what_is_acknowledged_twice_within_a_transaction_keeps_all_of_it_out(
    client: WireClient, shared_daemon: Daemon, named: list[int]
) -> None:
    topic, news, queue = (f"/{kind}/{uuid.uuid4()}" for kind in ("topic", "topic", "queue"))
    async with connected(shared_daemon.ws_url, "buyer") as other:
        await other.subscribe(news, "s")
        await client.subscribe(topic, "s", ack="client")
        for body in ("first", "second"):
            await client.send(topic, body)
        acks = [message.headers["ack"] for message in await client.frames(2)]
        await client.ask(begin())
        await client.ask(broadcast(news, "never", transaction="t"))
        await client.ask(broadcast(queue, "never", transaction="t"))
        for at in named:
            await client.ask(Frame("ACK", {"id": acks[at], "transaction": "t"}))
        await client.send_frames(commit())
        assert (await client.refused()).code == "unknown-ack"
        await other.subscribe(queue, "q")
        await other.send(queue, "after")
        await other.send(news, "after")
        assert [message.body for message in await other.frames(2)] == [b"after"] * 2


async def test_a_transaction_sent_again_is_stored_once(client: WireClient, room: str) -> None:
    await client.subscribe(f"/sub/chat/room/{room}", "room")
    for name in ("t", "u"):
        await client.ask(begin(name))
        for number in range(3):
            await client.ask(chat(room, f"{number}", transaction=name, **{"client-message-id": f"c{number}"}))
        await client.ask(commit(name))
    await client.ask(chat(room, "after"))
    assert await contents(client, 4) == ["0", "1", "2", "after"]


async def test_frames_behind_a_commit_wait_for_it(client: WireClient, room: str) -> None:
    topic = f"/topic/{uuid.uuid4()}"
    await client.subscribe(topic, "s")
    await client.send_frames(
        begin(),
        chat(room, "x", transaction="t"),
        broadcast(topic, "in it", transaction="t"),
        commit(),
        broadcast(topic, "behind"),
    )
    assert [(await client.expect("MESSAGE")).body for _ in range(2)] == [b"in it", b"behind"]


@pytest.mark.parametrize("destination", ["/topic/x", "/queue/x"])
async def test_the_headers_that_a_transaction_keeps_count_as_its_bodies_do(client: WireClient, destination: str) -> None:
    headers = {f"h{number}": "x" * 8000 for number in range(7)}
    await client.ask(begin())
    for _ in range(20):
        await client.send_frames(broadcast(destination, "", transaction="t", **headers))
    assert (await client.refused()).code == "transaction-too-large"


async def test_a_transaction_that_grows_too_large_ends_the_connection(client: WireClient) -> None:
    await client.ask(begin())
    await client.send_frames(*(broadcast("/topic/x", "x", transaction="t") for _ in range(257)))
    assert (await client.refused()).code == "transaction-too-large"
