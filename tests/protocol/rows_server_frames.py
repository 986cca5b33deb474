"""Rows M1 to E3: the frames of the server."""

from __future__ import annotations

import json

from stompgate.model.causes import Cause
from tests.wire_client import make_room

from .table import V1_0, V1_1, V1_2, Stage, frame, promise


@promise("M1")
async def a_message_names_destination_id_and_subscription(stage: Stage) -> None:
    room = await make_room(stage.daemon.url, "user")
    client = await stage.listener()
    await client.subscribe(f"/sub/chat/room/{room}", "room")
    await client.send(stage.topic, "x")
    await client.send(f"/pub/room/{room}/message", json.dumps({"content": "x"}))
    for message, subscription in zip(await client.frames(2), ("s", "room"), strict=True):
        assert message.headers["subscription"] == subscription
        assert message.headers["destination"]
        assert message.headers["message-id"]


@promise("M2", V1_2)
async def a_message_to_be_acknowledged_says_how(stage: Stage) -> None:
    for mode in ("client", "client-individual"):
        client = await stage.listener(ack=mode)
        await stage.deliver("x")
        message = await client.expect("MESSAGE")
        await client.ask(frame("ACK", id=message.headers["ack"]))


@promise("M3")
async def the_destination_is_the_one_that_was_sent_to(stage: Stage) -> None:
    client = await stage.client()
    await client.subscribe(stage.topic.rpartition("/")[0] + "/**", "s")
    await client.send(stage.topic, "own")
    bodies = {}
    while b"own" not in bodies:  # a pattern hears what others say, too
        message = await client.expect("MESSAGE")
        bodies[message.body] = message.headers["destination"]
    assert bodies[b"own"] == stage.topic


@promise("M4")
async def message_ids_are_the_servers_and_differ(stage: Stage) -> None:
    client = await stage.listener()
    await stage.deliver("1", "2", "3", message_id="spoofed", subscription="spoofed", position="spoofed")
    messages = await client.frames(3)
    assert len({message.headers["message-id"] for message in messages} - {"spoofed"}) == 3
    assert [message.headers["subscription"] for message in messages] == ["s"] * 3
    assert not any("position" in message.headers for message in messages)


@promise("M5", V1_0)
async def a_subscription_with_an_id_is_named(stage: Stage) -> None:
    client = await stage.client()
    await client.ask(frame("SUBSCRIBE", destination=stage.topic, id="mine"))
    await client.send(stage.topic, "x")
    assert (await client.expect("MESSAGE")).headers["subscription"] == "mine"


@promise("E1")
async def after_error_comes_the_close_and_nothing_between(stage: Stage) -> None:
    client = await stage.listener()
    after = frame("SEND", "after", destination=stage.topic, receipt="after")
    await client.send_frames(frame("SEND", "x", destination="/nowhere"), after, after)
    await stage.refused(client, Cause.BAD_DESTINATION)


@promise("E2")
async def an_error_has_a_short_message_and_a_body_with_detail(stage: Stage) -> None:
    for bad, cause in ((frame("BOGUS"), Cause.UNKNOWN_COMMAND), (frame("SEND", "x", destination="/no"), Cause.BAD_DESTINATION)):
        error = (await stage.refuses(bad, cause)).error
        assert error.headers["message"] == cause.text
        assert len(error.body.decode()) > len(cause.text)


UNREADABLE = (
    (b"no colon", Cause.BAD_HEADER),
    (b":no name", Cause.BAD_HEADER),
    (b"x:\xff", Cause.NOT_UTF8),
    (b"\xff:x", Cause.NOT_UTF8),
)


@promise("E3")
async def an_error_names_the_receipt_of_its_culprit(stage: Stage) -> None:
    for line, cause in UNREADABLE:
        for lines in ((b"receipt:r", line), (line, b"receipt:r"), (line, line, b"receipt:r", b"receipt:other")):
            head = b"\n".join([b"SEND", b"destination:/topic/x", *lines])
            await stage.refuses(head + b"\n\nx\0", cause, "r")
    await stage.refuses(b"BOGUS\nbad\nreceipt:r\n\n\0", Cause.UNKNOWN_COMMAND, "r")
    await stage.refuses(b"BEGIN\nreceipt:r\0", Cause.BROKEN_FRAME, "r")
    await stage.refuses(b"BEGIN\nreceipt:r\nbad\0", Cause.BAD_HEADER, "r")
    await stage.refuses(b"SEND\nreceipt:r\ncontent-length:x\n\n\0", Cause.BAD_HEADER, "r")


@promise("E3", V1_1, V1_2, part="escapes")
async def an_error_of_a_bad_escape_names_the_receipt(stage: Stage) -> None:
    for lines in ("a:\\t\nreceipt:r\\c1", "receipt:r\\c1\na:\\t"):
        await stage.refuses(f"SEND\n{lines}\n\nx\0", Cause.BAD_HEADER, "r:1")
    if stage.version is V1_2:
        await stage.refuses("SEND\na:b\rc\nreceipt:r\n\nx\0", Cause.BAD_HEADER, "r")
