"""Rows S1 to R2: what the frames of a client do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from stompgate.model.causes import Cause
from stompgate.stomp.frames import Frame
from tests.wire_client import WireClient, make_room

from .table import V1_0, V1_1, V1_2, Stage, frame, promise

DOCS = Path(__file__).parents[2] / "docs" / "protocol.md"


def ack(client: WireClient, message: Frame, command: str = "ACK", **headers: str) -> Frame:
    """An ACK or NACK of a message, in the client's version's form."""
    if client.version is V1_2:
        return frame(command, id=message.headers["ack"], **headers)
    named = {"message_id": message.headers["message-id"]}
    if client.version is V1_1:
        named["subscription"] = message.headers["subscription"]
    return frame(command, **named, **headers)


async def refused_ack(stage: Stage, client: WireClient, message: Frame) -> None:
    """That the message waits for no ACK any more."""
    await client.send_frames(ack(client, message, receipt="r"))
    await stage.refused(client, Cause.UNKNOWN_ACK, "r")


@promise("S1")
async def send_needs_a_destination(stage: Stage) -> None:
    await stage.refuses(frame("SEND", "x", receipt="r"), Cause.MISSING_HEADER, "r")


@promise("S2")
async def the_senders_headers_reach_the_message_and_the_servers_do_not(stage: Stage) -> None:
    client = await stage.listener()
    await stage.deliver("x", priority="9", reply_to="me", content_type="text/x", expires="", selector="a = 1")
    headers = dict((await client.expect("MESSAGE")).headers)
    assert {name: headers[name] for name in ("priority", "reply-to", "content-type", "expires", "selector")} == {
        "priority": "9",
        "reply-to": "me",
        "content-type": "text/x",
        "expires": "",
        "selector": "a = 1",
    }
    assert not {"receipt", "transaction", "client-message-id"} & set(headers)


@promise("S3")
async def a_send_that_cannot_be_done_is_refused(stage: Stage) -> None:
    for destination in ("/nowhere", "nowhere", "", "/topic/*", "/pub/room/none/message"):
        refused = await stage.client()
        await refused.send_frames(frame("SEND", '{"content":"x"}', destination=destination, receipt="r"))
        error = await refused.expect("ERROR")
        assert error.headers["receipt-id"] == "r"
        await refused.close_code()


@promise("U1")
async def subscribe_needs_a_destination(stage: Stage) -> None:
    await stage.refuses(frame("SUBSCRIBE", id="1", receipt="r"), Cause.MISSING_HEADER, "r")


@promise("U1", V1_1, V1_2, part="id")
async def subscribe_needs_an_id(stage: Stage) -> None:
    await stage.refuses(frame("SUBSCRIBE", destination=stage.topic, receipt="r"), Cause.MISSING_HEADER, "r")


@promise("U1", V1_0, part="id")
async def subscribe_needs_no_id(stage: Stage) -> None:
    client = await stage.client()
    await client.ask(frame("SUBSCRIBE", destination=stage.topic))
    await client.send(stage.topic, "x")
    assert "subscription" not in (await client.expect("MESSAGE")).headers


@promise("U2")
async def ids_of_live_subscriptions_differ_and_can_be_used_again(stage: Stage) -> None:
    client = await stage.listener()
    await client.subscribe(stage.topic + "/other", "t")
    await client.ask(frame("UNSUBSCRIBE", id="s"))
    await client.subscribe(stage.topic, "s")
    await client.send(stage.topic, "once")
    assert (await client.expect("MESSAGE")).body == b"once"
    await client.send_frames(frame("SUBSCRIBE", destination=stage.topic, id="t", receipt="r"))
    await stage.refused(client, Cause.DUPLICATE_SUBSCRIPTION, "r")


@promise("U3")
async def a_subscription_that_fails_is_refused(stage: Stage) -> None:
    foreign = await make_room(stage.daemon.url, "others")
    for destination, cause in (("/nowhere", Cause.BAD_DESTINATION), (f"/sub/chat/room/{foreign}", Cause.NO_SUCH_ROOM)):
        await stage.refuses(frame("SUBSCRIBE", destination=destination, id="1", receipt="r"), cause, "r")


@promise("U4")
async def without_a_mode_nothing_waits_for_an_ack(stage: Stage) -> None:
    for headers in ({}, {"ack": "auto"}):
        client = await stage.listener(**headers)
        await stage.deliver("x")
        message = await client.expect("MESSAGE")
        assert "ack" not in message.headers
        if client.version is not V1_0:
            named = frame(
                "ACK", message_id=message.headers["message-id"], subscription="s", id=f"{message.headers['message-id']}@s"
            )
            await client.send_frames(Frame("ACK", {**named.headers, "receipt": "r"}))
            await stage.refused(client, Cause.UNKNOWN_ACK, "r")


@promise("U4", part="client")
async def client_acknowledges_all_before_too(stage: Stage) -> None:
    client = await stage.listener(ack="client")
    await stage.deliver("1", "2", "3")
    first, second, third = await client.frames(3)
    await client.ask(ack(client, second))
    await client.ask(ack(client, third))
    if client.version is not V1_0:  # there nothing says which subscription was meant, so that nothing is missing
        await refused_ack(stage, client, first)


@promise("U4", V1_1, V1_2, part="individual")
async def client_individual_acknowledges_one_message_only(stage: Stage) -> None:
    client = await stage.listener(ack="client-individual")
    await stage.deliver("1", "2", "3")
    first, second, third = await client.frames(3)
    for message in (second, third, first):
        await client.ask(ack(client, message))
    await refused_ack(stage, client, second)


@promise("U4", V1_0, part="individual")
async def client_individual_does_so_in_1_0_too_where_no_specification_names_it(stage: Stage) -> None:
    queue = stage.topic.replace("/topic/", "/queue/")
    leaving = await stage.client()
    await leaving.subscribe(queue, "s", ack="client-individual")
    for body in ("1", "2"):
        await leaving.send(queue, body)
    _, second = await leaving.frames(2)
    await leaving.ask(ack(leaving, second))
    await leaving.ask(frame("UNSUBSCRIBE", id="s"))
    other = await stage.client()
    await other.subscribe(queue, "s")
    await other.send(queue, "3")
    assert [message.body for message in await other.frames(2)] == [b"1", b"3"]


@promise("U5")
async def what_a_consumer_left_unacknowledged_goes_to_another(stage: Stage) -> None:
    queue = stage.topic.replace("/topic/", "/queue/")
    leaving = await stage.client()
    await leaving.subscribe(queue, "s", ack="client")
    await leaving.send(queue, "work")
    await leaving.expect("MESSAGE")
    await leaving.send_frames(frame("DISCONNECT"))
    await leaving.close_code()
    other = await stage.client()
    await other.subscribe(queue, "s", ack="client")
    again = await other.expect("MESSAGE")
    assert (again.body, again.headers["redelivered"]) == (b"work", "true")
    await other.ask(ack(other, again))


@promise("U6", V1_2)
async def the_headers_that_are_ours_are_documented(stage: Stage) -> None:
    text = await asyncio.to_thread(DOCS.read_text, "utf-8")
    for header in ("since", "recovered", "position", "client-message-id", "prefetch-count", "requeue", "redelivered", "errors"):
        assert f"`{header}" in text, (header, stage.version)


@promise("U7")
async def unsubscribe_by_id(stage: Stage) -> None:
    client = await stage.listener()
    await client.ask(frame("UNSUBSCRIBE", id="s"))
    await stage.deliver("lost")
    await client.subscribe(stage.topic, "t")
    await stage.deliver("heard")
    assert (await client.expect("MESSAGE")).body == b"heard"
    await client.ask(frame("UNSUBSCRIBE", id="never was"))


@promise("U7", V1_1, V1_2, part="needs")
async def unsubscribe_needs_an_id(stage: Stage) -> None:
    await stage.refuses(frame("UNSUBSCRIBE", destination=stage.topic, receipt="r"), Cause.MISSING_HEADER, "r")


@promise("U7", V1_0, part="needs")
async def unsubscribe_needs_an_id_or_a_destination(stage: Stage) -> None:
    await stage.refuses(frame("UNSUBSCRIBE", receipt="r"), Cause.MISSING_HEADER, "r")
    client = await stage.client()
    for named in ({}, {"id": "1"}):
        await client.ask(frame("SUBSCRIBE", destination=stage.topic, **named))
        await client.ask(frame("UNSUBSCRIBE", destination=stage.topic))
    await stage.deliver("lost")
    await client.subscribe(stage.topic)
    await stage.deliver("heard")
    assert (await client.expect("MESSAGE")).body == b"heard"


@promise("A1", V1_2)
async def ack_names_the_ack_header_of_its_message(stage: Stage) -> None:
    client = await stage.listener(ack="client-individual")
    await stage.deliver("1", "2")
    for message, command in zip(await client.frames(2), ("ACK", "NACK"), strict=True):
        await client.ask(frame(command, id=message.headers["ack"]))
        await stage.refuses(frame(command, id=message.headers["message-id"], receipt="r"), Cause.UNKNOWN_ACK, "r")
    await stage.refuses(frame("ACK", message_id="x", subscription="s", receipt="r"), Cause.MISSING_HEADER, "r")


@promise("A2", V1_1)
async def ack_names_message_and_subscription(stage: Stage) -> None:
    client = await stage.listener(ack="client-individual")
    await stage.deliver("1", "2")
    for message, command in zip(await client.frames(2), ("ACK", "NACK"), strict=True):
        assert "ack" not in message.headers
        await client.ask(frame(command, message_id=message.headers["message-id"], subscription="s"))
    for lacking in (frame("ACK", message_id="x", receipt="r"), frame("NACK", subscription="s", receipt="r")):
        await stage.refuses(lacking, Cause.MISSING_HEADER, "r")


@promise("A2", V1_0)
async def ack_names_the_message_alone_and_there_is_no_nack(stage: Stage) -> None:
    client = await stage.listener(ack="client")
    await stage.deliver("1")
    message = await client.expect("MESSAGE")
    await client.ask(frame("ACK", message_id=message.headers["message-id"]))
    await stage.refuses(frame("ACK", receipt="r"), Cause.MISSING_HEADER, "r")
    await stage.refuses(frame("NACK", message_id="x", receipt="r"), Cause.UNKNOWN_COMMAND, "r")


@promise("A3", V1_1, V1_2)
async def nack_settles_as_much_as_ack(stage: Stage) -> None:
    client = await stage.listener(ack="client")
    await stage.deliver("1", "2", "3")
    first, second, third = await client.frames(3)
    await client.ask(ack(client, second, "NACK"))
    await client.ask(ack(client, third, "NACK"))
    await refused_ack(stage, client, first)


@promise("A3", V1_1, V1_2, part="queue")
async def what_is_not_consumed_comes_again_unless_it_is_dropped(stage: Stage) -> None:
    queue = stage.topic.replace("/topic/", "/queue/")
    client = await stage.client()
    await client.subscribe(queue, "s", ack="client-individual")
    await client.send(queue, "work")
    await client.ask(ack(client, await client.expect("MESSAGE"), "NACK"))
    again = await client.expect("MESSAGE")
    assert (again.body, again.headers["redelivered"]) == (b"work", "true")
    await client.ask(ack(client, again, "NACK", requeue="false"))
    await client.send(queue, "next")
    assert (await client.expect("MESSAGE")).body == b"next"


@promise("T1")
async def transactions_are_named_and_their_names_differ(stage: Stage) -> None:
    for command in ("BEGIN", "COMMIT", "ABORT"):
        await stage.refuses(frame(command, receipt="r"), Cause.MISSING_HEADER, "r")
    for command in ("COMMIT", "ABORT"):
        await stage.refuses(frame(command, transaction="none", receipt="r"), Cause.UNKNOWN_TRANSACTION, "r")
    unknown = frame("SEND", "x", destination=stage.topic, transaction="none", receipt="r")
    await stage.refuses(unknown, Cause.UNKNOWN_TRANSACTION, "r")
    client = await stage.client()
    for end in ("COMMIT", "ABORT"):
        await client.ask(frame("BEGIN", transaction="t"))
        await client.ask(frame("BEGIN", transaction="u"))
        await client.ask(frame(end, transaction="t"))
        await client.ask(frame(end, transaction="u"))
    await client.ask(frame("BEGIN", transaction="t"))
    await client.send_frames(frame("BEGIN", transaction="t", receipt="r"))
    await stage.refused(client, Cause.DUPLICATE_TRANSACTION, "r")
    other = await stage.client()
    await other.ask(frame("BEGIN", transaction="t"))


@promise("T2")
async def what_is_in_a_transaction_takes_effect_at_commit_or_not_at_all(stage: Stage) -> None:
    client = await stage.listener(ack="client")
    await stage.deliver("before")
    message = await client.expect("MESSAGE")
    for end in ("ABORT", "COMMIT"):
        await client.ask(frame("BEGIN", transaction="t"))
        for body in ("1", "2"):
            await client.send(stage.topic, body, transaction="t")
        await client.ask(ack(client, message, transaction="t"))
        await client.send(stage.topic, "outside")
        assert (await client.expect("MESSAGE")).body == b"outside"
        await client.ask(frame(end, transaction="t"))
    assert [found.body for found in await client.frames(2)] == [b"1", b"2"]
    if client.version is not V1_0:
        await refused_ack(stage, client, message)


@promise("T3")
async def the_end_of_the_connection_is_an_abort(stage: Stage) -> None:
    listening = await stage.listener()
    for is_polite in (True, False):
        client = await stage.client()
        await client.ask(frame("BEGIN", transaction="t"))
        await client.send(stage.topic, "never", transaction="t")
        await client.send_frames(frame("DISCONNECT") if is_polite else frame("BOGUS"))
        await client.close_code()
    await stage.deliver("after")
    assert (await listening.expect("MESSAGE")).body == b"after"


@promise("D1")
async def disconnect_is_receipted_and_the_close_left_to_the_client(stage: Stage) -> None:
    client = await stage.listener()
    await client.send_frames(
        frame("SEND", "x", destination=stage.topic, receipt="1"), frame("DISCONNECT", receipt="2"), frame("BOGUS")
    )
    message, *receipts = await client.frames(3)
    assert (message.command, [receipt.headers["receipt-id"] for receipt in receipts]) == ("MESSAGE", ["1", "2"])


@promise("D2")
async def disconnect_without_receipt_is_a_clean_close(stage: Stage) -> None:
    client = await stage.client()
    await client.send_frames(frame("DISCONNECT"))
    assert await client.close_code() == (1000 if stage.transport == "websocket" else None)


@promise("D3")
async def what_was_received_takes_effect_though_its_sender_has_left(stage: Stage) -> None:
    room = await make_room(stage.daemon.url, "user", "friend")
    friend = await stage.client("friend")
    await friend.subscribe(f"/sub/chat/room/{room}")
    await friend.subscribe(stage.topic, "t")
    leaving = await stage.client()
    body = json.dumps({"content": "bye"})
    await leaving.send_frames(
        *(frame("SEND", body, destination=f"/pub/room/{room}/message") for _ in range(20)),
        frame("SEND", "last", destination=stage.topic),
        frame("DISCONNECT"),
    )
    await leaving.close_code()
    heard = [message.headers["subscription"] for message in await friend.frames(21)]
    assert sorted(heard) == ["s"] * 20 + ["t"]


@promise("R1")
async def every_frame_that_asks_for_a_receipt_gets_one(stage: Stage) -> None:
    client = await stage.client()
    await client.ask(frame("SUBSCRIBE", destination=stage.topic, id="s", ack="client"))
    await client.ask(frame("SEND", "x", destination=stage.topic))
    message = await client.expect("MESSAGE")
    await client.ask(ack(client, message))
    if client.version is not V1_0:
        await client.ask(frame("SEND", "y", destination=stage.topic))
        await client.ask(ack(client, await client.expect("MESSAGE"), "NACK"))
    await client.ask(frame("BEGIN", transaction="t"))
    await client.ask(frame("COMMIT", transaction="t"))
    await client.ask(frame("BEGIN", transaction="t"))
    await client.ask(frame("ABORT", transaction="t"))
    await client.ask(frame("UNSUBSCRIBE", id="s"))
    await client.ask(frame("DISCONNECT"))


@promise("R2")
async def receipts_come_in_order_with_the_ids_that_were_asked_for(stage: Stage) -> None:
    room = await make_room(stage.daemon.url, "user")
    client = await stage.client()
    ids = ["1", "a b", "é", "x" * 200, "1"]
    if client.version is not V1_0:
        ids.append("a:b\n\\c")
    body = json.dumps({"content": "x"})
    await client.send_frames(
        *(frame("SEND", body, destination=f"/pub/room/{room}/message", receipt=number) for number in ids),
        frame("DISCONNECT", receipt="last"),
    )
    receipts = [await client.expect("RECEIPT") for _ in [*ids, "last"]]
    assert [receipt.headers["receipt-id"] for receipt in receipts] == [*ids, "last"]
