"""What the old service answered on a raw WebSocket is answered still, but for the departures that the transcript names."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stompgate.model.causes import Cause
from stompgate.stomp.frames import SERVER_COMMANDS, Frame
from stompgate.stomp.parser import Parser
from tests.daemon_process import Daemon, launcher
from tests.wire_client import SUBPROTOCOLS, WireClient, make_room, opened

TRANSCRIPT = Path(__file__).parent.parent / "legacy" / "transcript.json"
CASES: list[dict[str, Any]] = json.loads(TRANSCRIPT.read_text(encoding="utf-8"))
NOT_REST = {case["case"]: case for case in CASES if "request" not in case}

EQUAL = {
    "EOL only, frame in two pieces, binary",
    "no subprotocol",
    "foreign origin",
    "broken frame",
    "bad escape",
    "raw below sockjs",
}
ELSEWHERE = {
    "redis while connected",  # tests/sessions/test_daemon.py
    "redis after DISCONNECT",
    "sockjs websocket",  # tests/sockjs/test_transcript.py
}
OLD_ROOM = "5762603a-3ede-49b3-a8f4-3240d09d6f1f"
TOO_LONG = "xxxxxxxxxxxxxxx…70,000 x…"
NEGOTIATED = "10000,10000"

Replay = Callable[[Daemon, list[dict[str, Any]]], Awaitable[None]]


@pytest.fixture(scope="module")
def legacy_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon in the place of the old service."""
    with launcher(tmp_path_factory.mktemp("legacy")) as launch:
        yield launch({"profile": "legacy"})


def sent(step: Mapping[str, Any]) -> str | bytes:
    """What the step sent. The recorder wrote binary messages as Latin-1."""
    text: str = step["sent"].replace(TOO_LONG, "x" * 70_000)
    kinds = {received[0] for received in step["received"]}
    return text.encode("latin-1") if "binary" in kinds else text


def facts(frame: Frame, kind: str) -> tuple[str, dict[str, str], str, str]:
    """A frame as it is compared: the heart-beat is negotiated, ids are the server's, an ERROR's texts are our own."""
    headers = dict(frame.headers)
    match frame.command:
        case "CONNECTED":
            headers["heart-beat"] = NEGOTIATED
        case "MESSAGE":
            headers["message-id"] = "id"
        case "ERROR":
            return "ERROR", {}, "", kind
    return frame.command, headers, frame.body.decode("utf-8", "replace"), kind


def read(old: list[str]) -> Frame:
    """A frame as the transcript has it. What was no UTF-8 is replaced there, so its length is not to be believed."""
    parser = Parser(commands=SERVER_COMMANDS)
    parser.receive_bytes(old[1].replace("content-length:2\n", "content-length:6\n").encode())
    frame = parser.next_frame()
    assert frame is not None, old
    return frame


async def receive(client: WireClient, old: list[Any]) -> None:
    """Receive what the old service sent."""
    if old[0] == "close":
        assert await client.close_code() == old[1]
        return
    received = await client.receive()
    expected = read(old)
    if old[0] == "binary":
        assert expected.body == b"\xef\xbf\xbd" * 2
        expected = Frame(expected.command, {**expected.headers, "content-length": "2"}, expected.body)
    assert facts(received.frame, "text" if received.is_text else "binary") == facts(expected, old[0])
    if received.frame.command == "CONNECTED":
        assert received.frame.headers["heart-beat"] == NEGOTIATED


@asynccontextmanager
async def replayed(daemon: Daemon, steps: list[dict[str, Any]]) -> AsyncIterator[WireClient]:
    """A connection on which these steps were answered as of old."""
    async with opened(daemon.ws_url) as client:
        for step in steps:
            await client.write(sent(step))
            for old in step["received"]:
                await receive(client, old)
        yield client


async def check_refusal(daemon: Daemon, steps: list[dict[str, Any]], cause: Cause) -> Frame:
    """All steps but the last are answered as of old, the last one with an ERROR and the close."""
    async with replayed(daemon, steps[:-1]) as client:
        await client.write(sent(steps[-1]))
        refused = await client.refused()
    assert (refused.code, refused.close_code) == (cause.code, cause.close_code)
    return refused.error


# The departures


async def chat(daemon: Daemon, steps: list[dict[str, Any]]) -> None:
    room = await make_room(daemon.url, "buyer@x.kr", "seller@x.kr")
    connect, *rest = steps
    seen: set[str] = set()
    async with replayed(daemon, [connect]) as client:
        for step in rest:
            await client.write(step["sent"].replace(OLD_ROOM, room))
            if step["sent"].startswith("SUBSCRIBE"):
                continue
            frames = [await client.frame() for _ in range(2 if "\nreceipt:" in step["sent"] else 1)]
            (message,) = [frame for frame in frames if frame.command == "MESSAGE"]
            assert [frame.headers for frame in frames if frame is not message] in ([], [{"receipt-id": "r1"}])
            check_message(message, read(step["received"][0]), room)
            seen.add(message.headers["message-id"])
        assert len(seen) == 2
        bye = NOT_REST["DISCONNECT with receipt"]["received"]
        await client.write("DISCONNECT\nreceipt:bye\n\n\0")
        await receive(client, bye[0])


def check_message(message: Frame, old: Frame, room: str) -> None:
    body, old_body = json.loads(message.body), json.loads(old.body.replace(OLD_ROOM.encode(), room.encode()))
    assert list(body) == [*old_body, "id", "seq"]
    assert body["timestamp"]
    assert {**body, "timestamp": None, "id": None, "seq": None} == {**old_body, "id": None, "seq": None}
    assert message.headers["message-id"] == body["id"]
    assert set(message.headers) == {*old.headers, "position"}
    for name in ("destination", "content-type", "subscription"):
        assert message.headers[name] == old.headers[name].replace(OLD_ROOM, room)


async def bad_destinations(daemon: Daemon, steps: list[dict[str, Any]]) -> None:
    connect, subscribe, send, nowhere, no_destination, no_id, unsubscribe, send_again, bogus = steps
    async with replayed(daemon, [connect]) as client:
        await client.write(sent(subscribe))
        assert (await client.expect("RECEIPT")).headers == {"receipt-id": "r"}
        await client.write(sent(send))
        await receive(client, send["received"][0])
        await client.write(sent(unsubscribe), sent(send_again), sent(bogus))
        assert (await client.refused()).close_code == bogus["received"][1][1]
    await check_refusal(daemon, [connect, nowhere], Cause.BAD_DESTINATION)
    await check_refusal(daemon, [connect, no_destination], Cause.MISSING_HEADER)
    await check_refusal(daemon, [connect, no_id], Cause.MISSING_HEADER)


async def no_accept_version(daemon: Daemon, steps: list[dict[str, Any]]) -> None:
    connect, disconnect = steps
    async with opened(daemon.ws_url) as client:
        await client.write(sent(connect))
        assert (await client.expect("CONNECTED")).headers["version"] == "1.0"
        await client.write(sent(disconnect))
        assert await client.close_code() == 1000


async def no_common_version(daemon: Daemon, steps: list[dict[str, Any]]) -> None:
    error = await check_refusal(daemon, steps, Cause.NO_COMMON_VERSION)
    assert error.headers["version"] == "1.0,1.1,1.2"


async def send_first(daemon: Daemon, steps: list[dict[str, Any]]) -> None:
    await check_refusal(daemon, steps, Cause.NOT_CONNECTED)


async def bad_json(daemon: Daemon, steps: list[dict[str, Any]]) -> None:
    await check_refusal(daemon, steps[:2], Cause.BAD_BODY)


async def unknown_room(daemon: Daemon, steps: list[dict[str, Any]]) -> None:
    connect, subscribe, send = steps
    await check_refusal(daemon, [connect, subscribe], Cause.NO_SUCH_ROOM)
    await check_refusal(daemon, [connect, send], Cause.NO_SUCH_ROOM)


async def too_large(daemon: Daemon, steps: list[dict[str, Any]]) -> None:
    await check_refusal(daemon, steps, Cause.FRAME_TOO_LARGE)
    assert steps[-1]["received"][0][1] == Cause.FRAME_TOO_LARGE.close_code


DEPARTURES: Mapping[str, Replay] = {
    "chat 1.1": chat,
    "1.2, receipts, bad destinations": bad_destinations,
    "no accept-version": no_accept_version,
    "no common version": no_common_version,
    "SEND first": send_first,
    "bad JSON to a room": bad_json,
    "unknown room": unknown_room,
    "too large": too_large,
}
WITHIN = {"DISCONNECT with receipt": "chat 1.1"}  # cases that went on where another one ended


def test_every_case_is_replayed_here_or_elsewhere_by_name() -> None:
    assert set(NOT_REST) == EQUAL | set(DEPARTURES) | set(WITHIN) | ELSEWHERE
    assert len(NOT_REST) == len(EQUAL) + len(DEPARTURES) + len(WITHIN) + len(ELSEWHERE)
    departing = {name for name, case in NOT_REST.items() if case["expected"].startswith("departure")}
    assert departing - ELSEWHERE == set(DEPARTURES) | {"raw below sockjs"}  # whose departure is the heart-beat alone


@pytest.mark.parametrize("name", sorted(EQUAL))
async def test_what_is_equal_is_equal(legacy_daemon: Daemon, name: str) -> None:
    case = NOT_REST[name]
    chosen = [line.partition(": ")[2] for line in case["handshake"] if line.startswith("Sec-WebSocket-Protocol")]
    options: dict[str, Any] = {"origin": "http://evil.example"} if name == "foreign origin" else {}
    url = legacy_daemon.ws_url.replace("/ws-stomp", case["path"])
    async with opened(url, SUBPROTOCOLS if chosen else None, **options) as client:
        assert [client.socket.subprotocol] == (chosen or [None])
        for step in case["steps"]:
            await client.write(sent(step))
            for old in step["received"]:
                await receive(client, old)
        if not any(old[0] == "close" for step in case["steps"] for old in step["received"]):
            await client.write("DISCONNECT\nreceipt:end\n\n\0")
            assert (await client.expect("RECEIPT")).headers["receipt-id"] == "end"  # and nothing else before it


@pytest.mark.parametrize("name", sorted(DEPARTURES))
async def test_every_departure_is_what_it_says(legacy_daemon: Daemon, name: str) -> None:
    await DEPARTURES[name](legacy_daemon, NOT_REST[name]["steps"])
