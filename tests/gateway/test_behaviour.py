"""What frames do, seen from the wire: order, receipts, recovery, and who is slow. The rows of STOMP are in tests/protocol."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import pytest

from stompgate.stomp.frames import Frame
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version
from tests.daemon_process import Daemon, launcher, wait_until
from tests.wire_client import WireClient, connected, make_room, opened

MOST_OWED = 5
TIGHT = {
    "connections": {
        "sends_in_flight": 2,
        "unread_limit_bytes": 2000,
        "frames_per_turn": 4,
        "fan_out_slice": 4,
        "unacknowledged": MOST_OWED,
        "outbox_limit_bytes": 300_000,
        "outbox_time_limit_s": 1.0,
        "closing_grace_s": 0.3,
    },
    "stomp": {"heart_beat_send_ms": 100, "heart_beat_receive_ms": 100, "heart_beat_grace_floor_s": 0.5},
    "websocket": {"close_timeout_s": 0.5},
    "chat": {"catch_up_limit_messages": 40, "page_messages": 10, "ring_messages": 5},
}


@pytest.fixture(scope="module")
def tight_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose every bound is soon reached."""
    with launcher(tmp_path_factory.mktemp("tight")) as launch:
        yield launch(TIGHT)


@pytest.fixture(params=["shared_daemon", "tight_daemon"])
def any_daemon(request: pytest.FixtureRequest) -> Daemon:
    """What holds with wide bounds and with narrow ones."""
    daemon = request.getfixturevalue(request.param)
    assert isinstance(daemon, Daemon)
    return daemon


def topic() -> str:
    return f"/topic/{uuid.uuid4()}"


def chat_frame(room: str, content: str, **headers: str) -> Frame:
    return Frame("SEND", {"destination": f"/pub/room/{room}/message", **headers}, json.dumps({"content": content}).encode())


async def say(client: WireClient, room: str, *contents: str) -> None:
    for content in contents:
        await client.send(f"/pub/room/{room}/message", json.dumps({"content": content}))


async def heard(client: WireClient, number: int) -> list[str]:
    return [json.loads((await client.expect("MESSAGE")).body)["content"] for _ in range(number)]


async def history(daemon: Daemon, room: str, user: str = "buyer") -> list[str]:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{daemon.url}/chat/room/{room}", headers={"X-Auth-User": user})
    assert answer.status_code == 200, answer.text
    return [message["content"] for message in answer.json()]


# Order and receipts


async def test_frames_take_effect_in_their_order_and_each_is_receipted(any_daemon: Daemon) -> None:
    number, room, other = 300, await make_room(any_daemon.url), topic()
    async with connected(any_daemon.ws_url, "buyer") as client, connected(any_daemon.ws_url, "seller") as listener:
        await listener.subscribe(f"/sub/chat/room/{room}")
        frames = [chat_frame(room, str(at), receipt=f"c{at}") for at in range(number)]
        frames += [Frame("SEND", {"destination": other, "receipt": f"t{at}"}, b"x") for at in range(number)]
        frames += [Frame("DISCONNECT", {"receipt": "bye"})]
        await client.send_frames(*frames)
        receipts = [(await client.expect("RECEIPT")).headers["receipt-id"] for _ in frames]
        assert receipts[-1] == "bye"
        assert [receipt for receipt in receipts if receipt[0] == "c"] == [f"c{at}" for at in range(number)]
        assert [receipt for receipt in receipts if receipt[0] == "t"] == [f"t{at}" for at in range(number)]
        assert await heard(listener, number) == [str(at) for at in range(number)]


async def test_a_send_that_waits_for_the_members_holds_those_behind_it(any_daemon: Daemon) -> None:
    room, other = await make_room(any_daemon.url), topic()  # a room that nobody has asked for yet
    async with connected(any_daemon.ws_url, "buyer") as client:
        await client.subscribe(other)
        await client.subscribe(f"/sub/chat/room/{room}", "room", ack="auto")
        await client.send_frames(chat_frame(room, "first"), Frame("SEND", {"destination": other}, b"second"))
        bodies = {(await client.expect("MESSAGE")).headers["subscription"] for _ in range(2)}
        assert bodies == {"room", "s"}
    assert await history(any_daemon, room) == ["first"]


async def test_what_is_sent_behind_a_subscribe_reaches_its_subscription(any_daemon: Daemon) -> None:
    """Without waiting for the RECEIPT, on many connections at once, so that each feed begins while messages are stored."""

    async def hear_oneself(room: str, *sends: Frame) -> list[str]:
        async with connected(any_daemon.ws_url, "buyer") as client:
            await client.send_frames(Frame("SUBSCRIBE", {"destination": f"/sub/chat/room/{room}", "id": "s"}), *sends)
            return await heard(client, 1)

    def in_transaction(room: str) -> list[Frame]:
        named = {"transaction": "t"}
        return [Frame("BEGIN", named), chat_frame(room, "one", **named), Frame("COMMIT", named)]

    rooms = [await make_room(any_daemon.url) for _ in range(40)]
    found = await asyncio.gather(
        *(hear_oneself(room, chat_frame(room, "one")) for room in rooms[:20]),
        *(hear_oneself(room, *in_transaction(room)) for room in rooms[20:]),
    )
    assert found == [["one"]] * 40


async def test_what_was_received_before_the_peer_left_takes_effect(any_daemon: Daemon) -> None:
    number, room = 100, await make_room(any_daemon.url)
    async with connected(any_daemon.ws_url, "buyer") as client:
        await client.send_frames(*(chat_frame(room, str(at)) for at in range(number)))
        client.socket.transport.close()
    for _ in range(500):
        found = await history(any_daemon, room)
        if len(found) == number:
            break
        await asyncio.sleep(0.02)
    assert found == [str(at) for at in range(number)]


async def test_many_bytes_behind_a_wait_are_read_on_in_the_end(tight_daemon: Daemon) -> None:
    room, body = await make_room(tight_daemon.url), "x" * 4000
    async with connected(tight_daemon.ws_url, "buyer") as client:
        for at in range(300):
            await client.send_frames(chat_frame(room, body, receipt=str(at)))
        assert [(await client.expect("RECEIPT")).headers["receipt-id"] for _ in range(300)] == [str(at) for at in range(300)]


async def test_frames_in_any_cutting_are_understood(any_daemon: Daemon) -> None:
    destination = topic()
    async with connected(any_daemon.ws_url) as client:
        await client.subscribe(destination)
        data = b"\n" + b"".join(
            serialize(Frame("SEND", {"destination": destination}, b"%d" % at), Version.V1_2) for at in range(3)
        )
        await client.write(*(data[at : at + 1] for at in range(len(data))))
        assert [(await client.expect("MESSAGE")).body for _ in range(3)] == [b"0", b"1", b"2"]
        await client.socket.send([data[:7].decode(), data[7:50].decode(), data[50:].decode()])
        assert [(await client.expect("MESSAGE")).body for _ in range(3)] == [b"0", b"1", b"2"]


async def test_disconnect_is_closed_by_the_server_if_the_client_does_not(tight_daemon: Daemon) -> None:
    async with connected(tight_daemon.ws_url) as client:
        await client.ask(Frame("DISCONNECT"))
        await client.send_frames(Frame("SEND", {"destination": "/topic/x"}, b"ignored"))
        assert await client.close_code() == 1000


# Messages


async def test_a_body_that_is_no_text_goes_out_as_binary(shared_daemon: Daemon) -> None:
    destination = topic()
    async with connected(shared_daemon.ws_url) as client:
        await client.subscribe(destination)
        await client.send(destination, b"\xff\x00\xfe")
        await client.send(destination, "글")
        binary, text = await client.receive(), await client.receive()
    assert (binary.frame.body, binary.is_text) == (b"\xff\x00\xfe", False)
    assert (text.frame.body.decode(), text.is_text) == ("글", True)


async def test_patterns_take_what_matches_once_per_subscription_but_never_a_room(shared_daemon: Daemon) -> None:
    base, room = topic(), await make_room(shared_daemon.url)
    async with connected(shared_daemon.ws_url, "buyer") as client:
        for at, pattern in enumerate(
            (f"{base}/*", f"{base}/**", f"{base}/{{name}}", f"{base}/?", f"{base}/a", "/sub/**", "/sub/chat/**")
        ):
            await client.subscribe(pattern, str(at))
        await client.send(f"{base}/a", "x")
        assert {(await client.expect("MESSAGE")).headers["subscription"] for _ in range(5)} == {"0", "1", "2", "3", "4"}
        await client.send(f"{base}/a/b", "x")
        assert (await client.expect("MESSAGE")).headers["subscription"] == "1"
        await say(client, room, "private")
        await client.ask(Frame("DISCONNECT"))
        assert await client.close_code() == 1000
        assert not client._came


async def test_a_great_many_receivers_are_served_in_order_while_they_come_and_go(tight_daemon: Daemon) -> None:
    destination, number = topic(), 50
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(tight_daemon.ws_url)) for _ in range(12)]
        for at, client in enumerate(clients):
            await client.subscribe(destination, f"own-{at}" if at % 2 else "same")
        sender, leaver, comer = [await stack.enter_async_context(connected(tight_daemon.ws_url)) for _ in range(3)]
        await leaver.subscribe(destination, "leaver")
        frames = [Frame("SEND", {"destination": destination}, b"%d" % at) for at in range(number)]
        await sender.send_frames(*frames[: number // 2])
        await leaver.ask(Frame("UNSUBSCRIBE", {"id": "leaver"}))
        await comer.subscribe(destination)
        await sender.send_frames(*frames[number // 2 :])
        for client in clients:
            assert [int((await client.expect("MESSAGE")).body) for _ in range(number)] == list(range(number))
        came = [int((await comer.expect("MESSAGE")).body)]
        while came[-1] != number - 1:
            came.append(int((await comer.expect("MESSAGE")).body))
        assert came == list(range(came[0], number))


async def test_what_many_receivers_cannot_take_at_once_holds_the_sender_not_the_server(tight_daemon: Daemon) -> None:
    destination, number = topic(), 400
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(tight_daemon.ws_url)) for _ in range(9)]
        for at, client in enumerate(clients):
            await client.subscribe(destination, f"own-{at}")
        sender = await stack.enter_async_context(connected(tight_daemon.ws_url))
        await sender.send_frames(*(Frame("SEND", {"destination": destination}, b"%d" % at) for at in range(number)))
        await sender.send("/topic/other", "x")
        for client in clients:
            assert [int((await client.expect("MESSAGE")).body) for _ in range(number)] == list(range(number))


# Acknowledging


async def test_after_unsubscribe_there_is_nothing_to_settle(shared_daemon: Daemon) -> None:
    destination = topic()
    async with connected(shared_daemon.ws_url) as client:
        await client.subscribe(destination, "an:odd id", ack="client-individual")
        await client.send(destination, "x")
        message = await client.expect("MESSAGE")
        await client.ask(Frame("UNSUBSCRIBE", {"id": "an:odd id"}))
        await client.ask(Frame("ACK", {"id": message.headers["ack"]}))


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize("mode", ["auto", "client", "client-individual"])
async def test_what_came_before_an_id_was_used_again_is_acknowledged_in_vain(
    shared_daemon: Daemon, version: str, mode: str
) -> None:
    """The client can't tell it from what comes after."""
    destination = topic()
    async with connected(shared_daemon.ws_url, version=version) as client:
        await client.subscribe(destination, ack="client-individual")
        await client.send(destination, "x")
        headers = (await client.expect("MESSAGE")).headers
        named = {"id": headers["ack"]} if version == "1.2" else {"message-id": headers["message-id"], "subscription": "s"}
        await client.send_frames(Frame("UNSUBSCRIBE", {"id": "s"}))
        await client.subscribe(destination, ack=mode)
        await client.ask(Frame("ACK", named))
        await client.send_frames(Frame("ACK", named))
        assert (await client.refused()).code == "unknown-ack"


async def test_too_many_messages_of_a_topic_without_ack_end_the_connection(tight_daemon: Daemon) -> None:
    destination = topic()
    async with connected(tight_daemon.ws_url) as client, connected(tight_daemon.ws_url) as sender:
        await client.subscribe(destination, ack="client")
        for _ in range(6):
            await sender.send(destination, "x")
        assert [frame.command for frame in await client.frames(5)] == ["MESSAGE"] * 5
        await client.expect("MESSAGE")
        refused = await client.refused()
        assert (refused.code, refused.close_code) == ("too-many-unacked", 1008)


async def acknowledging(client: WireClient, number: int) -> list[tuple[str, str]]:
    """Subscription and content of so many messages. One is acknowledged whenever no more come; too many are never owed."""
    came: list[tuple[str, str]] = []
    owed: list[str] = []
    while len(came) < number or owed:
        await client.send_frames(Frame("UNSUBSCRIBE", {"id": "nothing", "receipt": "probe"}))
        while (frame := await client.frame()).headers.get("receipt-id") != "probe":
            if frame.command == "MESSAGE":
                came.append((frame.headers["subscription"], json.loads(frame.body)["content"]))
                owed.append(frame.headers["ack"])
            else:
                assert frame.headers["recovered"] == "true", frame
                assert len(came) == number, "the RECEIPT of a return follows the last message"
        assert len(owed) <= MOST_OWED
        if owed:
            await client.send_frames(Frame("ACK", {"id": owed.pop(0)}))
    return came


async def test_who_comes_back_to_a_room_and_acknowledges_is_given_at_that_pace(tight_daemon: Daemon) -> None:
    room, contents = await make_room(tight_daemon.url), [str(number) for number in range(40)]
    destination = f"/sub/chat/room/{room}"
    async with connected(tight_daemon.ws_url, "seller") as speaker:
        begun = await speaker.subscribe(destination)
        for content in contents:
            await speaker.ask(chat_frame(room, content))
    async with connected(tight_daemon.ws_url, "buyer") as client:
        back = {"destination": destination, "id": "1", "ack": "client-individual", "since": begun.headers["position"]}
        await client.send_frames(Frame("SUBSCRIBE", {**back, "receipt": "back"}))
        assert await acknowledging(client, len(contents)) == [("1", content) for content in contents]


async def test_what_a_room_says_waits_for_whoever_acknowledges_slowly_and_for_no_other(tight_daemon: Daemon) -> None:
    room, contents = await make_room(tight_daemon.url), [str(number) for number in range(40)]
    destination = f"/sub/chat/room/{room}"
    async with connected(tight_daemon.ws_url, "seller") as speaker, connected(tight_daemon.ws_url, "buyer") as client:
        await speaker.subscribe(destination)
        await client.subscribe(destination, "1", ack="client-individual")
        await client.subscribe(destination, "2", ack="client-individual")  # the two owe together
        for content in contents:
            await speaker.ask(chat_frame(room, content))
        assert [json.loads((await speaker.expect("MESSAGE")).body)["content"] for _ in contents] == contents
        came = await acknowledging(client, 2 * len(contents))
    assert [content for subscription, content in came if subscription == "1"] == contents
    assert [content for subscription, content in came if subscription == "2"] == contents


# Rooms


async def test_who_comes_back_is_given_what_was_missed(any_daemon: Daemon) -> None:
    room = await make_room(any_daemon.url)
    destination = f"/sub/chat/room/{room}"
    async with connected(any_daemon.ws_url, "seller") as speaker:
        async with connected(any_daemon.ws_url, "buyer") as client:
            begun = await client.subscribe(destination)
            assert "recovered" not in begun.headers
            await say(speaker, room, "0", "1")
            await client.expect("MESSAGE")
            position = (await client.expect("MESSAGE")).headers["position"]
        await say(speaker, room, *map(str, range(2, 32)))
        async with connected(any_daemon.ws_url, "buyer") as client:
            receipt = await client.subscribe(destination, since=position)
            assert receipt.headers["recovered"] == "true"
            await say(speaker, room, "live")
            assert await heard(client, 31) == [*map(str, range(2, 32)), "live"]
        async with connected(any_daemon.ws_url, "buyer") as client:
            again = await client.subscribe(destination, since=receipt.headers["position"])
            assert again.headers["recovered"] == "true"
            assert await heard(client, 1) == ["live"]
        async with connected(any_daemon.ws_url, "buyer") as client:
            for at, since in enumerate(("nonsense", "abc.1.def", position[:-1] + "x", position.replace(".2.", ".999."))):
                receipt = await client.subscribe(destination, str(at), since=since)
                assert receipt.headers["recovered"] == "false"


async def test_who_missed_too_much_is_told_so(tight_daemon: Daemon) -> None:
    room = await make_room(tight_daemon.url)
    async with connected(tight_daemon.ws_url, "buyer") as client:
        position = (await client.subscribe(f"/sub/chat/room/{room}")).headers["position"]
        await say(client, room, *map(str, range(41)))
        receipt = await client.subscribe(f"/sub/chat/room/{room}", "again", since=position)
        assert receipt.headers["recovered"] == "false"


@pytest.mark.parametrize("bye", [{}, {"receipt": "bye"}])
async def test_a_subscription_that_ends_before_it_began_is_answered_all_the_same(
    tight_daemon: Daemon, bye: dict[str, str]
) -> None:
    room = await make_room(tight_daemon.url)
    subscribe = Frame("SUBSCRIBE", {"destination": f"/sub/chat/room/{room}", "id": "s", "receipt": "begun"})
    async with connected(tight_daemon.ws_url, "buyer") as client:
        for _ in range(20):
            await client.send_frames(subscribe, Frame("UNSUBSCRIBE", {"id": "s", "receipt": "ended"}))
            assert [(await client.expect("RECEIPT")).headers["receipt-id"] for _ in range(2)] == ["begun", "ended"]
        await say(client, room, "x")
        await client.send_frames(subscribe, Frame("DISCONNECT", bye))
        assert (await client.expect("RECEIPT")).headers["receipt-id"] == "begun"
        if bye:
            assert (await client.expect("RECEIPT")).headers["receipt-id"] == "bye"
        assert await client.close_code() == 1000


async def test_nothing_comes_from_a_room_that_was_deleted(any_daemon: Daemon) -> None:
    room, other = await make_room(any_daemon.url), await make_room(any_daemon.url)
    async with connected(any_daemon.ws_url, "buyer") as client, connected(any_daemon.ws_url, "seller") as seller:
        await client.subscribe(f"/sub/chat/room/{room}")
        await client.subscribe(f"/sub/chat/room/{other}", "other")
        await say(seller, room, "before")
        assert await heard(client, 1) == ["before"]
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.delete(f"{any_daemon.url}/room/delete/{room}", headers={"X-Auth-User": "seller"})
        assert answer.text == "success"
        await seller.send_frames(chat_frame(room, "after", receipt="bad"))
        refused = await seller.refused()
        assert (refused.code, refused.receipt_id) == ("no-such-room", "bad")
        await say(client, other, "elsewhere")
        assert await heard(client, 1) == ["elsewhere"]


async def test_a_message_sent_again_with_its_client_id_is_stored_once(any_daemon: Daemon) -> None:
    room = await make_room(any_daemon.url)
    async with connected(any_daemon.ws_url, "buyer") as client:
        await client.subscribe(f"/sub/chat/room/{room}")
        for _ in range(3):
            await client.ask(chat_frame(room, "once", **{"client-message-id": "mine"}))
        await say(client, room, "next")
        assert await heard(client, 2) == ["once", "next"]
    assert await history(any_daemon, room) == ["once", "next"]


# Who is slow


async def test_who_does_not_read_is_closed_and_nobody_else_notices(tight_daemon: Daemon) -> None:
    destination, body = topic(), b"x" * 60_000
    before = len([end for end in tight_daemon.events("connection closed") if end["cause"] == "slow-consumer"])
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", tight_daemon.port))
    async with (
        opened(tight_daemon.ws_url, sock=narrow) as slow,
        connected(tight_daemon.ws_url) as reader,
        connected(tight_daemon.ws_url) as sender,
    ):
        await slow.connect()
        await slow.subscribe(destination)
        await reader.subscribe(destination)
        slow.socket.transport.pause_reading()
        for _ in range(150):
            await sender.send(destination, body)
            assert (await reader.expect("MESSAGE")).body == body

        def is_closed() -> bool:
            ends = [end for end in tight_daemon.events("connection closed") if end["cause"] == "slow-consumer"]
            return len(ends) == before + 1

        await asyncio.to_thread(wait_until, is_closed, "the slow one is closed")
        slow.socket.transport.abort()
        await sender.send(destination, "after")
        assert (await reader.expect("MESSAGE")).body == b"after"
