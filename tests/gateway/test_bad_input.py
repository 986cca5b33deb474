"""What may not be sent gets an ERROR that names its cause and the close of the table, and costs nobody else anything."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from stompgate.model.causes import Cause
from stompgate.stomp.frames import Frame
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version
from tests.daemon_process import Daemon
from tests.wire_client import WireClient, connected, make_room, opened

ROOM, FOREIGN, NO_ROOM = "{room}", "{foreign}", "{no_room}"


@dataclass(frozen=True)
class Bad:
    """Something that may not be sent once CONNECTED. ``holds``: what is behind it waits until it is refused."""

    name: str
    frames: tuple[Frame | bytes, ...]
    cause: Cause
    version: str = "1.2"
    holds: bool = True


def frame(command: str, body: str = "", **headers: str) -> Frame:
    return Frame(command, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode())


def to_room(body: str, room: str = ROOM, **headers: str) -> Frame:
    return frame("SEND", body, destination=f"/pub/room/{room}/message", **headers)


def subscribe(destination: str, subscription_id: str = "x", **headers: str) -> Frame:
    return frame("SUBSCRIBE", destination=destination, id=subscription_id, **headers)


# fmt: off
BAD = [
    Bad("a line that is no header", (b"SEND\nno colon\n\nx\0",), Cause.BAD_HEADER),
    Bad("an unknown escape", (b"SEND\ndestination:/topic/x\na:b\\t\n\nx\0",), Cause.BAD_HEADER),
    Bad("a body that is longer than it says", (b"SEND\nreceipt:bad\ndestination:/topic/x\ncontent-length:1\n\nxy\0",), Cause.BROKEN_FRAME),  # noqa: E501
    Bad("a body where none may be", (b"SUBSCRIBE\nreceipt:bad\nid:1\ndestination:/topic/x\n\nxy\0",), Cause.BROKEN_FRAME),
    Bad("a length that is no number", (b"SEND\nreceipt:bad\ndestination:/topic/x\ncontent-length:-1\n\nx\0",), Cause.BAD_HEADER),  # noqa: E501
    Bad("an unknown command", (b"BOGUS\nreceipt:bad\n\n\0",), Cause.UNKNOWN_COMMAND),
    Bad("a command of the server", (b"MESSAGE\nreceipt:bad\n\n\0",), Cause.UNKNOWN_COMMAND),
    Bad("NACK in 1.0", (frame("NACK", message_id="x"),), Cause.UNKNOWN_COMMAND, "1.0"),
    Bad("a second CONNECT", (frame("CONNECT", accept_version="1.2", sender="user"),), Cause.ALREADY_CONNECTED),
    Bad("SEND without destination", (frame("SEND", "x"),), Cause.MISSING_HEADER),
    Bad("SUBSCRIBE without destination", (frame("SUBSCRIBE", id="x"),), Cause.MISSING_HEADER),
    Bad("SUBSCRIBE without id", (frame("SUBSCRIBE", destination="/topic/x"),), Cause.MISSING_HEADER),
    Bad("UNSUBSCRIBE without id", (frame("UNSUBSCRIBE"),), Cause.MISSING_HEADER, "1.1"),
    Bad("ACK without id", (frame("ACK"),), Cause.MISSING_HEADER),
    Bad("BEGIN without transaction", (frame("BEGIN"),), Cause.MISSING_HEADER),
    Bad("a subscription id twice", (subscribe("/topic/a"), subscribe("/topic/b")), Cause.DUPLICATE_SUBSCRIPTION),
    Bad("a subscription id twice, for a room", (subscribe("/topic/a"), subscribe(f"/sub/chat/room/{ROOM}")), Cause.DUPLICATE_SUBSCRIPTION),  # noqa: E501
    Bad("an unknown mode to acknowledge", (subscribe("/topic/x", ack="never"),), Cause.BAD_HEADER),
    Bad("ACK of a message that never came", (subscribe("/topic/x", ack="client"), frame("ACK", id=f"{uuid.UUID(int=1)}@x")), Cause.UNKNOWN_ACK),  # noqa: E501
    Bad("ACK where none is due", (subscribe("/topic/x"), frame("ACK", id=f"{uuid.UUID(int=1)}@x")), Cause.UNKNOWN_ACK),
    Bad("no destination of ours", (frame("SEND", "x", destination="/nowhere"),), Cause.BAD_DESTINATION),
    Bad("a destination of no form", (subscribe("/topic//x"),), Cause.BAD_DESTINATION),
    Bad("SEND to a pattern", (frame("SEND", "x", destination="/topic/*"),), Cause.BAD_DESTINATION),
    Bad("SEND to where rooms are read", (frame("SEND", "x", destination=f"/sub/chat/room/{ROOM}"),), Cause.FORBIDDEN_DESTINATION),  # noqa: E501
    Bad("SUBSCRIBE to where rooms are written", (subscribe(f"/pub/room/{ROOM}/message"),), Cause.BAD_DESTINATION),
    Bad("SUBSCRIBE to all rooms", (subscribe("/sub/chat/room/*"),), Cause.BAD_DESTINATION),
    Bad("SEND to an unknown room", (to_room('{"content":"x"}', NO_ROOM),), Cause.NO_SUCH_ROOM),
    Bad("SUBSCRIBE to an unknown room", (subscribe(f"/sub/chat/room/{NO_ROOM}"),), Cause.NO_SUCH_ROOM, holds=False),
    Bad("SEND to a room of others", (to_room('{"content":"x"}', FOREIGN),), Cause.NO_SUCH_ROOM),
    Bad("SUBSCRIBE to a room of others", (subscribe(f"/sub/chat/room/{FOREIGN}"),), Cause.NO_SUCH_ROOM, holds=False),
    Bad("a body that is no JSON", (to_room("not json"),), Cause.BAD_BODY),
    Bad("a body that is no object", (to_room("[1]"),), Cause.BAD_BODY),
    Bad("a body without content", (to_room('{"sender":"user"}'),), Cause.BAD_BODY),
    Bad("a body for another room", (to_room('{"content":"x","roomUUID":"other"}'),), Cause.BAD_BODY),
    Bad("a body of another sender", (to_room('{"content":"x","sender":"someone"}'),), Cause.WRONG_SENDER),
    Bad("a message that is too long", (to_room('{"content":"%s"}' % ("x" * 5001)),), Cause.BODY_TOO_LONG),
    Bad("a client id with spaces", (to_room('{"content":"x"}', client_message_id="a b"),), Cause.BAD_HEADER),
    Bad("a client id that is too long", (to_room('{"content":"x"}', client_message_id="a" * 65),), Cause.BAD_HEADER),
    *(
        Bad(f"{command} of no open transaction", (frame(command, transaction="t"),), Cause.UNKNOWN_TRANSACTION)
        for command in ("COMMIT", "ABORT")
    ),
    Bad("BEGIN of an open transaction", (frame("BEGIN", transaction="t"),) * 2, Cause.DUPLICATE_TRANSACTION),
    Bad("SEND in no transaction", (frame("SEND", "x", destination="/topic/x", transaction="t"),), Cause.UNKNOWN_TRANSACTION),
    Bad("too many transactions", tuple(frame("BEGIN", transaction=f"t{at}") for at in range(17)), Cause.TOO_MANY_TRANSACTIONS),
    Bad("a body that is no JSON, in a transaction", (frame("BEGIN", transaction="t"), to_room("x", transaction="t")), Cause.BAD_BODY),  # noqa: E501
    Bad("too many subscriptions", tuple(subscribe("/topic/x", str(number)) for number in range(129)), Cause.TOO_MANY_SUBSCRIPTIONS),  # noqa: E501
    Bad("a frame that is too large", (frame("SEND", "x" * 70_000, destination="/topic/x"),), Cause.FRAME_TOO_LARGE),
    Bad("too many headers", (b"SEND\nreceipt:bad\n%s\n\0" % (b"a:b\n" * 65),), Cause.FRAME_TOO_LARGE),
    Bad("a header that is too long", (b"SEND\nreceipt:bad\na:%s\n\n\0" % (b"x" * 9000),), Cause.FRAME_TOO_LARGE),
]
# fmt: on


@dataclass
class Scene:
    """A room of the user, one of others, and someone who chats beside."""

    daemon: Daemon
    room: str
    foreign: str
    bystander: WireClient
    topic: str

    def bytes_of(self, bad: Bad) -> bytes:
        """The bad frames; the last one asks for the receipt ``bad``."""
        version = Version(bad.version)
        *before, last = bad.frames
        if isinstance(last, Frame):
            last = Frame(last.command, {**last.headers, "receipt": "bad"}, last.body)
        data = b"".join(found if isinstance(found, bytes) else serialize(found, version) for found in [*before, last])
        for placeholder, room in ((ROOM, self.room), (FOREIGN, self.foreign), (NO_ROOM, str(uuid.uuid4()))):
            data = data.replace(placeholder.encode(), room.encode())
        return data

    async def check_bystander(self) -> None:
        """The one beside still chats, and has been given nothing in between."""
        await self.bystander.send(self.topic, "still here")
        assert (await self.bystander.expect("MESSAGE")).body == b"still here"


@pytest.fixture
async def scene(shared_daemon: Daemon) -> AsyncIterator[Scene]:
    topic = f"/topic/{uuid.uuid4()}"
    room = await make_room(shared_daemon.url, "user", "seller")
    foreign = await make_room(shared_daemon.url, "others", "seller")
    async with connected(shared_daemon.ws_url, "bystander") as bystander:
        await bystander.subscribe(topic)
        yield Scene(shared_daemon, room, foreign, bystander, topic)


def test_every_name_is_used_once() -> None:
    assert len({bad.name for bad in BAD}) == len(BAD)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
async def test_a_bad_frame_costs_what_comes_after_it_and_nothing_else(scene: Scene, bad: Bad) -> None:
    version = Version(bad.version)
    before = frame("SEND", "before", destination=scene.topic, receipt="before")
    stored = to_room('{"content":"before"}', scene.room, receipt="stored")
    after = frame("SEND", "after", destination=scene.topic)
    async with connected(scene.daemon.ws_url, "user", bad.version) as client:
        batch = [serialize(before, version), serialize(stored, version), scene.bytes_of(bad), serialize(after, version)]
        await client.write(b"".join(batch))
        receipts = {(await client.expect("RECEIPT")).headers["receipt-id"] for _ in range(2)}
        assert receipts == {"before", "stored"}
        refused = await client.refused()
    assert refused.code == bad.cause.code
    assert refused.close_code == bad.cause.close_code
    assert refused.receipt_id == ("bad" if b"\nreceipt:bad" in batch[2] else None)
    assert refused.error.headers["message"] == bad.cause.text
    assert refused.error.headers["retry"] == str(bad.cause.retry).lower()
    assert refused.error.body
    assert (await scene.bystander.expect("MESSAGE")).body == b"before"
    if not bad.holds:  # a SUBSCRIBE holds nothing
        assert (await scene.bystander.expect("MESSAGE")).body == b"after"
    await scene.check_bystander()


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"SEND\ndestination:/topic/x\n\nx\0", Cause.NOT_CONNECTED),
        (b"SUBSCRIBE\nid:1\ndestination:/topic/x\n\n\0", Cause.NOT_CONNECTED),
        (b"BEGIN\ntransaction:1\n\n\0", Cause.NOT_CONNECTED),
        (b"DISCONNECT\n\n\0", Cause.NOT_CONNECTED),
        (b"CONNECT\naccept-version:3.0\nsender:user\n\n\0", Cause.NO_COMMON_VERSION),
        (b"CONNECT\naccept-version:1.2\nsender:user\nheart-beat:often\n\n\0", Cause.BAD_HEADER),
        (b"CONNECT\naccept-version:1.2\n\n\0", Cause.IDENTITY_REQUIRED),
        (b"CONNECT\naccept-version:1.2\nsender:\n\n\0", Cause.IDENTITY_REQUIRED),
        (b"CONNECT\naccept-version:1.2\nsender:%s\n\n\0" % (b"x" * 256), Cause.BAD_HEADER),
        (b"GET / HTTP/1.1\r\n\r\n\0", Cause.UNKNOWN_COMMAND),
    ],
    ids=str,
)
async def test_a_first_frame_that_is_refused_takes_the_frames_behind_it_along(scene: Scene, data: bytes, cause: Cause) -> None:
    behind = b"SEND\ndestination:%s\n\nafter\0" % scene.topic.encode()
    connect = b"CONNECT\naccept-version:1.2\nsender:user\n\n\0"
    async with opened(scene.daemon.ws_url) as client:
        await client.write(data + connect + behind)
        refused = await client.refused()
    assert (refused.code, refused.close_code) == (cause.code, cause.close_code)
    if cause is Cause.NO_COMMON_VERSION:
        assert refused.error.headers["version"] == "1.0,1.1,1.2"
    await scene.check_bystander()


async def test_a_connect_that_does_not_end_is_cut_off_early(scene: Scene) -> None:
    async with opened(scene.daemon.ws_url) as client:
        await client.write("CONNECT\naccept-version:1.2\n")
        await client.write("a:" + "x" * 4000 + "\nb:" + "x" * 4000 + "\nc:" + "x" * 4000)
        refused = await client.refused()
    assert (refused.code, refused.close_code) == ("frame-too-large", 1009)
    await scene.check_bystander()


async def test_a_stranger_may_send_no_more_at_a_time_than_a_frame_may_have(shared_daemon: Daemon) -> None:
    async with opened(shared_daemon.ws_url) as client:
        await client.write(b"\n" * 65_537)
        refused = await client.refused()
    assert (refused.code, refused.close_code) == ("frame-too-large", 1009)
    async with connected(shared_daemon.ws_url) as client:
        await client.write(b"\n" * 65_537)
        await client.subscribe("/topic/x")


async def test_a_frame_that_is_too_large_is_refused_before_it_ends_and_in_fragments_too(scene: Scene) -> None:
    async def fragments() -> AsyncIterator[str]:
        yield "SEND\ndestination:/topic/x\n\n"
        for _ in range(40):
            yield "x" * 2000

    async with connected(scene.daemon.ws_url) as client:
        await client.socket.send(fragments())
        refused = await client.refused()
    assert (refused.code, refused.close_code) == ("frame-too-large", 1009)
    await scene.check_bystander()


async def test_a_websocket_frame_that_is_too_large_gets_an_error_before_its_close(scene: Scene) -> None:
    async with connected(scene.daemon.ws_url) as client:
        await client.write("x" * (1024 * 1024 + 1))
        refused = await client.refused()
    assert (refused.code, refused.close_code) == ("frame-too-large", 1009)
    await scene.check_bystander()


async def test_text_that_is_not_utf8_gets_an_error_before_its_close(scene: Scene) -> None:
    async with connected(scene.daemon.ws_url) as client:
        await client.socket.send(b"SEND\ndestination:/topic/x\n\n\xff\0", text=True)
        refused = await client.refused()
    assert (refused.code, refused.close_code) == ("not-utf8", 1007)
    await scene.check_bystander()


async def test_text_that_is_not_utf8_is_found_across_fragments(scene: Scene) -> None:
    async with connected(scene.daemon.ws_url) as client:
        await client.socket.send([b"SEND\ndestination:/topic/x\n\n\xed", b"\x95\x9c", b"\xff", b"\0"], text=True)
        refused = await client.refused()
    assert (refused.code, refused.close_code) == ("not-utf8", 1007)


async def test_what_is_no_websocket_frame_gets_an_error_before_its_close(scene: Scene) -> None:
    async with connected(scene.daemon.ws_url) as client:
        client.socket.transport.write(bytes((0x80 | 0x0B, 0x80, 0, 0, 0, 0)))  # an opcode that does not exist
        refused = await client.refused()
    assert (refused.code, refused.close_code) == ("broken-websocket", 1002)
    await scene.check_bystander()


async def test_a_close_within_a_fragmented_message_is_a_close(scene: Scene) -> None:
    async with connected(scene.daemon.ws_url) as client:
        assert client.socket.protocol is not None
        client.socket.protocol.send_text(b"SEND\ndest", fin=False)
        for data in client.socket.protocol.data_to_send():
            client.socket.transport.write(data)
        client.socket.protocol.expect_continuation_frame = False
        await client.socket.close(1000)
        assert client.socket.close_code == 1000
    await scene.check_bystander()
