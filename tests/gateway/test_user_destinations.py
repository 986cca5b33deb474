"""What is sent to a user reaches that user's sessions alone; replies find their way; soft errors leave the connection alive."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from stompgate.stomp.frames import Frame
from tests.daemon_process import Daemon
from tests.wire_client import WireClient, connected, make_room

OWN = "/user/queue/news"


async def nothing_came(client: WireClient) -> None:
    """What a client sends to itself now is the next that it sees."""
    probe = f"/topic/{uuid.uuid4()}"
    await client.subscribe(probe, probe)
    await client.send(probe, "probe")
    assert (await client.expect("MESSAGE")).body == b"probe"


@pytest.mark.parametrize("user", ["bob", "bob@example.org", "a/b", "50%", "a*", "채팅 사용자", "queue"])
async def test_a_message_to_a_user_reaches_every_session_of_that_user_and_no_other(shared_daemon: Daemon, user: str) -> None:
    name = user.replace("%", "%25").replace("/", "%2F").replace("*", "%2A").replace("queue", "%71ueue")
    async with (
        connected(shared_daemon.ws_url, user) as one,
        connected(shared_daemon.ws_url, user) as two,
        connected(shared_daemon.ws_url, "abc") as other,
        connected(shared_daemon.ws_url, "sender") as sender,
    ):
        for client in (one, two, other):
            await client.subscribe(OWN, "s")
        await sender.send(f"/user/{name}/queue/news", "hello")
        for client in (one, two):
            message = await client.expect("MESSAGE")
            assert (message.headers["destination"], message.body) == (OWN, b"hello")
        await nothing_came(other)


async def test_what_one_sends_to_ones_own_destination_stays_in_the_connection(shared_daemon: Daemon) -> None:
    async with connected(shared_daemon.ws_url, "bob") as one, connected(shared_daemon.ws_url, "bob") as two:
        for client in (one, two):
            await client.subscribe(OWN, "s")
        await one.send(OWN, "to myself")
        assert (await one.expect("MESSAGE")).body == b"to myself"
        await nothing_came(two)


@pytest.mark.parametrize(
    "destination", ["/user/bob/queue/news", "/reply-queue/x", "/temp-queue/x", "/user/queue/*", "/user/bob"]
)
async def test_nobody_subscribes_to_what_is_for_others(shared_daemon: Daemon, destination: str) -> None:
    async with connected(shared_daemon.ws_url) as client:
        await client.send_frames(Frame("SUBSCRIBE", {"destination": destination, "id": "s", "receipt": "bad"}))
        assert (await client.refused()).code in ("bad-destination", "forbidden-destination")


@pytest.mark.parametrize("destination", ["/user/queue/errors", "/user/bob/queue/errors"])
async def test_nobody_but_the_server_sends_errors(shared_daemon: Daemon, destination: str) -> None:
    async with connected(shared_daemon.ws_url) as client:
        await client.send_frames(Frame("SEND", {"destination": destination, "receipt": "bad"}))
        assert (await client.refused()).code == "forbidden-destination"


async def test_a_reply_reaches_who_asked_under_the_name_it_gave(shared_daemon: Daemon) -> None:
    destination = f"/topic/{uuid.uuid4()}"
    async with connected(shared_daemon.ws_url, "asker") as asker, connected(shared_daemon.ws_url, "answerer") as answerer:
        await answerer.subscribe(destination, "s")
        for question in ("first", "second"):
            await asker.ask(Frame("SEND", {"destination": destination, "reply-to": "/temp-queue/mine"}, question.encode()))
            asked = await answerer.expect("MESSAGE")
            await answerer.ask(Frame("SEND", {"destination": asked.headers["reply-to"]}, b"answer to " + asked.body))
            answer = await asker.expect("MESSAGE")
            assert (answer.headers["subscription"], answer.body) == ("/temp-queue/mine", b"answer to " + question.encode())
        await asker.ask(Frame("UNSUBSCRIBE", {"id": "/temp-queue/mine"}))
        await answerer.ask(Frame("SEND", {"destination": asked.headers["reply-to"]}, b"late"))
        await nothing_came(asker)


# errors:soft


async def test_a_refused_message_is_told_and_the_connection_lives(shared_daemon: Daemon) -> None:
    room = await make_room(shared_daemon.url, "ann", "bob")
    foreign = await make_room(shared_daemon.url, "cid", "dan")
    async with connected(shared_daemon.ws_url, "ann", errors="soft") as client:
        await client.subscribe("/user/queue/errors", "e")
        await client.subscribe(f"/sub/chat/room/{room}", "r")
        for destination, body, code in (
            (f"/pub/room/{foreign}/message", b'{"content":"x"}', "no-such-room"),
            (f"/pub/room/{room}/message", b"no json", "bad-body"),
            ("/nowhere", b"x", "bad-destination"),
        ):
            await client.send_frames(Frame("SEND", {"destination": destination, "receipt": "r1"}, body))
            message = await client.expect("MESSAGE")
            assert (message.headers["subscription"], message.headers["destination"]) == ("e", "/user/queue/errors")
            assert [message.headers[name] for name in ("code", "retry", "receipt-id")] == [code, "false", "r1"]
            assert json.loads(message.body)["code"] == code
        await client.send_frames(Frame("SUBSCRIBE", {"destination": f"/sub/chat/room/{foreign}", "id": "f", "receipt": "r2"}))
        assert (await client.expect("MESSAGE")).headers["code"] == "no-such-room"
        await client.ask(Frame("SEND", {"destination": f"/pub/room/{room}/message"}, b'{"content":"fine"}'))
        assert json.loads((await client.expect("MESSAGE")).body)["content"] == "fine"


async def test_a_refused_frame_dooms_its_transaction_alone(shared_daemon: Daemon) -> None:
    room = await make_room(shared_daemon.url, "ann", "bob")
    chat = {"destination": f"/pub/room/{room}/message"}
    async with connected(shared_daemon.ws_url, "ann", errors="soft") as client:
        await client.subscribe("/user/queue/errors", "e")
        await client.subscribe(f"/sub/chat/room/{room}", "r")
        await client.ask(Frame("BEGIN", {"transaction": "t"}))
        await client.ask(Frame("SEND", {**chat, "transaction": "t"}, b'{"content":"never"}'))
        await client.send_frames(Frame("SEND", {**chat, "transaction": "t"}, b"no json"))
        assert (await client.expect("MESSAGE")).headers["code"] == "bad-body"
        await client.send_frames(Frame("COMMIT", {"transaction": "t", "receipt": "c"}))
        assert (await client.expect("MESSAGE")).headers["code"] == "transaction-failed"
        await client.ask(Frame("SEND", chat, b'{"content":"after"}'))
        assert json.loads((await client.expect("MESSAGE")).body)["content"] == "after"


@pytest.mark.parametrize(("errors", "subscribes"), [("soft", False), ("hard", True)])
async def test_who_did_not_ask_for_soft_errors_or_does_not_listen_gets_an_error(
    shared_daemon: Daemon, errors: str, subscribes: bool
) -> None:
    async with connected(shared_daemon.ws_url, "ann", errors=errors) as client:
        if subscribes:
            await client.subscribe("/user/queue/errors", "e")
        await client.send_frames(Frame("SEND", {"destination": "/nowhere"}, b"x"))
        assert (await client.refused()).code == "bad-destination"


async def test_a_breach_of_the_protocol_is_never_soft(shared_daemon: Daemon) -> None:
    async with connected(shared_daemon.ws_url, "ann", errors="soft") as client:
        await client.subscribe("/user/queue/errors", "e")
        await client.send_frames(Frame("SEND", {}, b"x"))
        async with asyncio.timeout(30):
            assert (await client.refused()).code == "missing-header"
