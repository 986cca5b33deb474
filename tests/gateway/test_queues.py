"""Queues: each message goes to one consumer, in turn, and comes back until somebody has acknowledged it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from stompgate.stomp.frames import Frame
from tests.daemon_process import Daemon, launcher
from tests.wire_client import WireClient, connected


@pytest.fixture(scope="module", params=["memory", "store"])
def queue_daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose queues are soon full."""
    with launcher(tmp_path_factory.mktemp("queues")) as launch:
        limits = {"limit_messages": 20, "prefetch": 5, "look_every_s": 0.2}
        yield launch({"queues": {"keep": request.param, "bare_names": True, **limits}})


@pytest.fixture
def queue() -> str:
    return f"/queue/{uuid.uuid4()}"


def named(message: Frame, version: str) -> dict[str, str]:
    """How ACK and NACK name a message."""
    headers = message.headers
    return {"id": headers["ack"]} if version == "1.2" else {"message-id": headers["message-id"], "subscription": "s"}


async def put(client: WireClient, queue: str, *bodies: str, **headers: str) -> None:
    for body in bodies:
        await client.ask(Frame("SEND", {"destination": queue, **headers}, body.encode()))


async def bodies(client: WireClient, number: int) -> list[str]:
    return [(await client.expect("MESSAGE")).body.decode() for _ in range(number)]


async def nothing_more(client: WireClient) -> None:
    probe = f"/topic/{uuid.uuid4()}"
    await client.subscribe(probe, probe)
    await client.send(probe, "probe")
    assert (await client.expect("MESSAGE")).body == b"probe"


async def test_messages_wait_for_the_first_consumer_and_come_in_order(queue_daemon: Daemon, queue: str) -> None:
    async with connected(queue_daemon.ws_url) as sender:
        await put(sender, queue, "1", "2", "3", kind="order")
    async with connected(queue_daemon.ws_url) as consumer:
        await consumer.subscribe(queue, "s")
        first = await consumer.expect("MESSAGE")
        assert (first.headers["destination"], first.headers["kind"], first.body) == (queue, "order", b"1")
        assert "redelivered" not in first.headers
        assert await bodies(consumer, 2) == ["2", "3"]
    async with connected(queue_daemon.ws_url) as consumer:
        await consumer.subscribe(queue, "s")
        await nothing_more(consumer)


async def test_consumers_are_served_in_turn(queue_daemon: Daemon, queue: str) -> None:
    async with (
        connected(queue_daemon.ws_url) as one,
        connected(queue_daemon.ws_url) as two,
        connected(queue_daemon.ws_url) as sender,
    ):
        await one.subscribe(queue, "s")
        await two.subscribe(queue, "s")
        await put(sender, queue, *"abcdef")
        assert await bodies(one, 3) == ["a", "c", "e"]
        assert await bodies(two, 3) == ["b", "d", "f"]


@pytest.mark.parametrize("version", ["1.2", "1.1"])
async def test_a_message_that_was_refused_comes_again_and_says_so(queue_daemon: Daemon, queue: str, version: str) -> None:
    async with connected(queue_daemon.ws_url, version=version) as consumer:
        await consumer.subscribe(queue, "s", ack="client-individual")
        await put(consumer, queue, "x")
        for deliveries in range(3):
            message = await consumer.expect("MESSAGE")
            assert message.headers.get("redelivered") == (None if not deliveries else "true")
            await consumer.ask(Frame("NACK", named(message, version)))
        message = await consumer.expect("MESSAGE")
        await consumer.ask(Frame("NACK", {**named(message, version), "requeue": "false"}))
        await nothing_more(consumer)


async def test_what_a_consumer_leaves_behind_goes_to_another(queue_daemon: Daemon, queue: str) -> None:
    async with connected(queue_daemon.ws_url) as stays:
        async with connected(queue_daemon.ws_url) as leaves:
            await leaves.subscribe(queue, "s", ack="client")
            await put(stays, queue, "1", "2", "3", "4")
            messages = [await leaves.expect("MESSAGE") for _ in range(4)]
            await leaves.ask(Frame("ACK", {"id": messages[1].headers["ack"]}))  # and the one before
        await stays.subscribe(queue, "s", ack="client")
        again = [await stays.expect("MESSAGE") for _ in range(2)]
        assert [(message.body, message.headers["redelivered"]) for message in again] == [(b"3", "true"), (b"4", "true")]
        await stays.ask(Frame("UNSUBSCRIBE", {"id": "s"}))
        await stays.subscribe(queue, "t")
        assert await bodies(stays, 2) == ["3", "4"]


@pytest.mark.parametrize(("wanted", "given"), [("2", 2), ("0", 5), ("100", 5)])
async def test_a_consumer_holds_no_more_than_its_prefetch(queue_daemon: Daemon, queue: str, wanted: str, given: int) -> None:
    async with connected(queue_daemon.ws_url) as consumer:
        await consumer.subscribe(queue, "s", ack="client-individual", prefetch_count=wanted)
        await put(consumer, queue, *"abcdefgh")
        held = [await consumer.expect("MESSAGE") for _ in range(given)]
        await nothing_more(consumer)
        await consumer.ask(Frame("ACK", {"id": held[0].headers["ack"]}))
        assert (await consumer.expect("MESSAGE")).body == b"abcdefgh"[given : given + 1]


async def test_a_prefetch_that_is_no_number_is_refused(queue_daemon: Daemon, queue: str) -> None:
    async with connected(queue_daemon.ws_url) as consumer:
        await consumer.send_frames(Frame("SUBSCRIBE", {"destination": queue, "id": "s", "prefetch-count": "-1"}))
        assert (await consumer.refused()).code == "bad-header"


async def test_a_full_queue_refuses_by_name_and_takes_more_when_there_is_room(queue_daemon: Daemon, queue: str) -> None:
    async with connected(queue_daemon.ws_url) as sender, connected(queue_daemon.ws_url) as consumer:
        await put(sender, queue, *map(str, range(20)))
        await sender.send_frames(Frame("SEND", {"destination": queue, "receipt": "bad"}, b"x"))
        refused = await sender.refused()
        assert (refused.code, refused.receipt_id) == ("queue-full", "bad")
        await consumer.subscribe(queue, "s")
        assert await bodies(consumer, 20) == list(map(str, range(20)))
        await put(consumer, queue, "more")
        assert await bodies(consumer, 1) == ["more"]


async def test_a_transaction_puts_all_or_nothing(queue_daemon: Daemon, queue: str) -> None:
    async with connected(queue_daemon.ws_url) as client, connected(queue_daemon.ws_url) as consumer:
        await consumer.subscribe(queue, "s")
        for end in ("ABORT", "COMMIT"):
            await client.ask(Frame("BEGIN", {"transaction": "t"}))
            await put(client, queue, f"1 {end}", f"2 {end}", transaction="t")
            await client.ask(Frame(end, {"transaction": "t"}))
        assert await bodies(consumer, 2) == ["1 COMMIT", "2 COMMIT"]


async def test_a_refusal_in_an_aborted_transaction_never_was(queue_daemon: Daemon, queue: str) -> None:
    async with connected(queue_daemon.ws_url) as consumer:
        await consumer.subscribe(queue, "s", ack="client-individual")
        await put(consumer, queue, "x")
        ack = {"id": (await consumer.expect("MESSAGE")).headers["ack"]}
        await consumer.ask(Frame("BEGIN", {"transaction": "t"}))
        await consumer.ask(Frame("NACK", {**ack, "transaction": "t"}))
        await consumer.ask(Frame("ABORT", {"transaction": "t"}))
        await nothing_more(consumer)
        await consumer.ask(Frame("ACK", ack))
        await nothing_more(consumer)


async def test_a_bare_name_is_a_queue_where_the_setting_says_so(queue_daemon: Daemon, queue: str) -> None:
    bare = queue.removeprefix("/queue/")
    async with connected(queue_daemon.ws_url) as client:
        await client.subscribe(bare, "s")
        await put(client, bare, "1")
        await put(client, queue, "2")
        messages = [await client.expect("MESSAGE") for _ in range(2)]
        assert [(message.headers["destination"], message.body) for message in messages] == [(bare, b"1"), (bare, b"2")]


async def test_a_bare_name_is_no_destination_otherwise(shared_daemon: Daemon) -> None:
    async with connected(shared_daemon.ws_url) as client:
        await client.send_frames(Frame("SEND", {"destination": "orders"}, b"x"))
        assert (await client.refused()).code == "bad-destination"
