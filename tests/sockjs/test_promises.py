"""STOMP over SockJS keeps the promises of a WebSocket: order, recovery, receipts, bounds, heart-beats, a drain."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from websockets.asyncio.client import connect

from stompgate.model.causes import Cause
from stompgate.stomp.frames import SERVER_COMMANDS, Frame
from stompgate.stomp.parser import Parser
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version
from tests.daemon_process import Daemon, launcher
from tests.waiting import until
from tests.wire_client import DEADLINE_S, connected, make_room

from .conftest import Serve
from .test_rows import check_closed, receive
from .wire import Web, new_session

BUYER, SELLER = "buyer@x.kr", "seller@x.kr"
SERVICE = "/ws-stomp"
CACHE = 100


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that all of these share. What it says each second shows it soon who is gone."""
    with launcher(tmp_path_factory.mktemp("sockjs")) as launch:
        yield launch({"sockjs": {"heart_beat_s": 1.0}})


class Polling:
    """A STOMP client that polls. ``came``: the frames that it has taken."""

    def __init__(self, web: Web) -> None:
        self.web, self.path = web, new_session(SERVICE)
        self.came: list[Frame] = []
        self.closed: list[object] = []
        self._parser = Parser(commands=SERVER_COMMANDS)

    async def send(self, *frames: Frame) -> None:
        """Send frames in one request, a message each."""
        texts = [serialize(frame, Version.V1_2).decode() for frame in frames]
        await self.web.post(f"{self.path}/xhr_send", json.dumps(texts))

    async def poll(self) -> str:
        """Take what there is, or wait for it."""
        said = await self.web.post(f"{self.path}/xhr")
        match said[0]:
            case "a":
                for text in json.loads(said[1:]):
                    self._parser.receive_bytes(text.encode())
                while (frame := self._parser.next_frame()) is not None:
                    self.came.append(frame)
            case "c":
                self.closed = json.loads(said[1:])
        return said

    async def has(self, command: str, number: int = 1) -> list[Frame]:
        """Poll until so many frames of a command are here."""
        async with asyncio.timeout(DEADLINE_S):
            while len(found := [frame for frame in self.came if frame.command == command]) < number:
                assert not self.closed, (self.closed, self.came)
                await self.poll()
        return found

    async def connect(self, user: str = BUYER, **headers: str) -> Frame:
        """Open the session and CONNECT."""
        assert await self.poll() == "o\n"
        named = {"accept-version": "1.2", "host": "x", "sender": user, **{k.replace("_", "-"): v for k, v in headers.items()}}
        await self.send(Frame("CONNECT", named))
        return (await self.has("CONNECTED"))[0]


@asynccontextmanager
async def polling(daemon: Daemon, user: str = BUYER, **headers: str) -> AsyncIterator[Polling]:
    web = Web(daemon.url)
    client = Polling(web)
    try:
        await client.connect(user, **headers)
        yield client
    finally:
        await web.close()


def contents(frames: list[Frame]) -> list[str]:
    return [json.loads(frame.body)["content"] for frame in frames]


async def figure(daemon: Daemon, line: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"{daemon.url}/metrics")).text
    found = [float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line)]
    return sum(found)


async def test_messages_keep_their_order_and_a_client_comes_back_with_all_it_missed(daemon: Daemon) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    follow = {"id": "1", "destination": f"/sub/chat/room/{room}", "receipt": "r1"}
    number = 6 * CACHE
    async with connected(daemon.ws_url, SELLER) as seller:
        async with polling(daemon) as buyer:
            await buyer.send(Frame("SUBSCRIBE", follow))
            await buyer.has("RECEIPT")
            for content in range(20):
                await seller.send(f"/pub/room/{room}/message", json.dumps({"content": f"{content}"}))
            first = await buyer.has("MESSAGE", 20)
            assert contents(first) == [str(content) for content in range(20)]
            position = first[-1].headers["position"]
        for content in range(20, number):
            await seller.send(f"/pub/room/{room}/message", json.dumps({"content": f"{content}"}))
        async with polling(daemon) as buyer:
            await buyer.send(Frame("SUBSCRIBE", {**follow, "since": position}))
            receipt = (await buyer.has("RECEIPT"))[0]
            assert receipt.headers["recovered"] == "true"
            missed = [frame for frame in buyer.came if frame.command == "MESSAGE"]
            assert contents(missed) == [str(content) for content in range(20, number)]


async def test_a_send_over_requests_is_stored_before_its_receipt(daemon: Daemon) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    async with polling(daemon) as buyer, httpx.AsyncClient(trust_env=False) as http:
        body = json.dumps({"content": "안녕"}).encode()
        await buyer.send(Frame("SEND", {"destination": f"/pub/room/{room}/message", "receipt": "r"}, body))
        await buyer.has("RECEIPT")
        stored = await http.get(f"{daemon.url}/chat/room/{room}", headers={"X-Auth-User": BUYER})
        assert [message["content"] for message in stored.json()] == ["안녕"]


async def test_who_does_not_come_for_messages_is_closed_at_the_bound_and_told_so(daemon: Daemon) -> None:
    async with polling(daemon) as slow, connected(daemon.ws_url, SELLER) as sender:
        await slow.send(Frame("SUBSCRIBE", {"id": "1", "destination": "/topic/bound", "receipt": "r"}))
        await slow.has("RECEIPT")
        for number in range(CACHE + 1):
            await sender.send("/topic/bound", str(number))
        await slow.poll()
        assert [frame.body for frame in slow.came if frame.command == "MESSAGE"] == [b"%d" % n for n in range(CACHE + 1)]
        assert slow.came[-1].headers["code"] == "slow-consumer"
        await slow.poll()
        assert slow.closed == [1013, "slow-consumer"]


@pytest.mark.parametrize("ack", ["auto", "client-individual"])
async def test_who_consumes_many_queues_is_given_no_more_than_may_wait_between_polls(daemon: Daemon, ack: str) -> None:
    queues, contents_of_one = [f"/queue/{ack}-{number}" for number in range(5)], [b"%d" % number for number in range(40)]
    async with connected(daemon.ws_url, SELLER) as sender:
        await sender.send_frames(*(Frame("SEND", {"destination": q}, body) for q in queues for body in contents_of_one))
        await sender.ask(Frame("DISCONNECT"))
    async with polling(daemon) as consumer:
        await consumer.send(*(Frame("SUBSCRIBE", {"id": queue, "destination": queue, "ack": ack}) for queue in queues))
        settled = 0
        while settled < len(queues) * len(contents_of_one):
            await asyncio.sleep(0.05)  # meanwhile more may be claimed than may wait
            came = (await consumer.has("MESSAGE", settled + 1))[settled:]
            settled += len(came)
            if ack != "auto":
                await consumer.send(*(Frame("ACK", {"id": frame.headers["ack"]}) for frame in came))
        for queue in queues:
            assert [frame.body for frame in consumer.came if frame.headers.get("subscription") == queue] == contents_of_one


async def test_heart_beats_go_both_ways_and_silence_ends_a_session(launch: Callable[..., Daemon]) -> None:
    beats = {"heart_beat_send_ms": 500, "heart_beat_receive_ms": 500, "heart_beat_grace_floor_s": 2.0}
    daemon = launch({"stomp": beats})
    async with polling(daemon, heart_beat="500,500") as client:
        for _ in range(3):
            assert await client.poll() == 'a["\\n"]\n'
            await client.web.post(f"{client.path}/xhr_send", '["\\n"]')
        while not client.closed:
            await client.poll()
        assert client.closed == [1002, "heartbeat-lost"]


async def test_in_the_place_of_a_message_that_is_no_text_goes_a_heart_beat_and_the_next_one_follows(daemon: Daemon) -> None:
    counted = await figure(daemon, "stompgate_sockjs_not_text_total")
    url = daemon.ws_url + new_session("") + "/websocket"
    async with polling(daemon) as client, connected(daemon.ws_url, SELLER) as sender, connect(url) as wire:
        await client.send(Frame("SUBSCRIBE", {"id": "1", "destination": "/topic/binary", "receipt": "r"}))
        await client.has("RECEIPT")
        assert await receive(wire) == "o"
        await wire.send(json.dumps(["CONNECT\naccept-version:1.2\nhost:x\nsender:u\n\n\0"]))
        await wire.send(json.dumps(["SUBSCRIBE\nid:1\ndestination:/topic/binary\nreceipt:r\n\n\0"]))
        assert [(await receive(wire))[3:7] for _ in range(2)] == ["CONN", "RECE"]
        await sender.send("/topic/binary", b"\xff\xfe")
        await sender.send("/topic/binary", "text")
        assert await receive(wire) == 'a["\\n"]'
        assert "text" in await receive(wire)
        assert [frame.body for frame in await client.has("MESSAGE")] == [b"text"]
    assert await figure(daemon, "stompgate_sockjs_not_text_total") == counted + 2  # once for each kind of wire


async def test_a_lone_surrogate_is_replaced_as_a_browser_does_on_a_websocket(daemon: Daemon) -> None:
    async with polling(daemon) as client:
        await client.send(Frame("SUBSCRIBE", {"id": "1", "destination": "/topic/surrogate"}))
        await client.web.post(f"{client.path}/xhr_send", '["SEND\\ndestination:/topic/surrogate\\n\\n\\ud83dx\\u0000"]')
        assert [frame.body for frame in await client.has("MESSAGE")] == ["\ufffdx".encode()]


async def test_an_error_comes_before_the_close(daemon: Daemon) -> None:
    async with polling(daemon) as client:
        await client.send(Frame("SUBSCRIBE", {"id": "1", "destination": "/nowhere"}))
        (error,) = await client.has("ERROR")
        await client.poll()
        assert client.closed == [1008, error.headers["code"]] == [1008, "bad-destination"]


async def test_the_first_frame_must_come_in_time(launch: Callable[..., Daemon]) -> None:
    daemon = launch({"stomp": {"first_frame_timeout_s": 0.3}})
    web = Web(daemon.url)
    client = Polling(web)
    assert await client.poll() == "o\n"
    while not client.closed:
        await client.poll()
    assert client.closed == [1008, "first-frame-late"]
    assert client.came[0].headers["code"] == "first-frame-late"
    await web.close()


async def test_a_drain_tells_sessions_that_poll(launch: Callable[..., Daemon]) -> None:
    daemon = launch({"drain": {"window_s": 1.0}})
    async with polling(daemon) as client:
        waiting = await client.web.start("POST", f"{client.path}/xhr")
        stopping = asyncio.create_task(asyncio.to_thread(daemon.stop))
        assert await waiting.rest() == 'c[1012,"server-stopping"]\n'
        await stopping


async def test_a_closing_or_full_server_goes_on_with_its_sessions_and_begins_none(serve: Serve) -> None:
    served = await serve()
    web, house = served.web, served.server.house
    path = new_session()
    await web.post(f"{path}/xhr")
    kept = await web.connect()
    house.is_closing = True
    answer = await kept.ask("POST", f"{new_session()}/xhr")
    assert (answer.status, json.loads(await answer.rest())["code"]) == (503, "server-stopping")
    answer = await kept.ask("POST", f"{path}/xhr_send", '["a"]')
    assert answer.status == 204
    answer = await kept.ask("POST", f"{path}/xhr")
    assert await answer.rest() == 'a["a"]\n'
    house.is_closing = False
    house.limits = replace(house.limits, connections=house.gateway.connected)
    answer = await kept.ask("POST", f"{new_session()}/xhr")
    assert (answer.status, json.loads(await answer.rest())["code"]) == (503, "too-many-connections")
    assert house.refused == {Cause.SERVER_STOPPING: 1, Cause.TOO_MANY_CONNECTIONS: 1}


async def test_foreign_pages_are_kept_out_on_every_way(launch: Callable[..., Daemon]) -> None:
    listed = ["https://chat.example", "same-origin"]
    daemon = launch({"listen": {"allowed_origins": listed}, "sockjs": {"disconnect_delay_s": 1.0}})
    web = Web(daemon.url)
    path = new_session(SERVICE)
    evil, good, own = "https://evil.example", "https://chat.example", daemon.url
    ways = {"xhr": "POST", "xhr_streaming": "POST", "eventsource": "GET", "htmlfile?c=c": "GET", "jsonp?c=c": "GET"}
    for name, method in ways.items():
        answer, body = await web.ask(method, f"{new_session(SERVICE)}/{name}", Origin=evil)
        assert (answer.status, json.loads(body)["code"]) == (403, "origin-refused")
        assert "access-control-allow-origin" not in answer.headers
        for origin in (good, own):
            answer = await web.start(method, f"{new_session(SERVICE)}/{name}", Origin=origin)
            assert (answer.status, answer["access-control-allow-origin"]) == (200, origin)
            await answer.close()
    for headers, status in (
        ({}, 403),
        ({"Referer": f"{evil}/page"}, 403),
        ({"Referer": "http://[broken"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Referer": f"{good}/page"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ):
        answer, _ = await web.ask("GET", f"{new_session(SERVICE)}/jsonp?c=c", **headers)
        assert answer.status == status, headers
    assert await web.post(f"{path}/xhr") == "o\n"  # no page, but a program
    for name in ("xhr_send", "jsonp_send"):
        answer, _ = await web.ask("POST", f"{path}/{name}", '["x"]', Origin=evil)
        assert answer.status == 403
    answer, _ = await web.ask("GET", f"{SERVICE}/info", Origin=evil)
    assert answer.status == 403
    await web.close()


async def test_connections_are_counted_by_the_way_they_began(daemon: Daemon) -> None:
    async with polling(daemon):
        assert await figure(daemon, 'stompgate_connections{transport="sockjs-xhr"}') >= 1
    web = Web(daemon.url)
    stream = await web.start("GET", f"{new_session(SERVICE)}/eventsource")
    assert await figure(daemon, 'stompgate_connections{transport="sockjs-eventsource"}') == 1
    await stream.close()
    line = 'stompgate_connections{transport="sockjs-eventsource"}'
    await until(lambda: counts(daemon, line, 0), "the session that lost its receiver is gone")
    await web.close()


async def test_a_stream_that_is_broken_off_before_other_requests_is_no_fault_of_ours(daemon: Daemon) -> None:
    streams = [f"POST {new_session(SERVICE)}/xhr_streaming HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" for _ in "ab"]
    reader, writer = await asyncio.open_connection("localhost", daemon.port)
    writer.write("".join([*streams, "this is no HTTP\r\n\r\n"]).encode())
    async with asyncio.timeout(DEADLINE_S):
        await reader.readuntil(b"o\n")
    writer.transport.abort()
    line = 'stompgate_connections{transport="sockjs-xhr-streaming"}'
    await until(lambda: counts(daemon, line, 0), "the session that lost its receiver is gone")
    daemon.check_log()


async def test_broken_json_over_a_websocket_ends_it_without_a_word(daemon: Daemon) -> None:
    async with connect(daemon.ws_url + new_session("") + "/websocket") as wire:
        assert await receive(wire) == "o"
        await wire.send('["broken')
        assert await check_closed(wire) == 1007


async def test_a_request_or_message_of_a_stranger_is_small(daemon: Daemon) -> None:
    large = json.dumps(["x" * 70_000])
    web = Web(daemon.url)
    path = new_session(SERVICE)
    await web.post(f"{path}/xhr")
    answer, body = await web.ask("POST", f"{path}/xhr_send", large)
    assert (answer.status, json.loads(body)["code"]) == (413, "frame-too-large")
    await web.close()
    async with connect(daemon.ws_url + new_session("") + "/websocket") as wire:
        assert await receive(wire) == "o"
        await wire.send([large[:40_000], large[40_000:]])
        assert "frame-too-large" in await receive(wire)
        assert await receive(wire) == 'c[1009,"frame-too-large"]'
        assert await check_closed(wire) == 1009


async def test_a_stream_that_nobody_reads_is_closed_as_slow_and_then_cut(launch: Callable[..., Daemon]) -> None:
    daemon = launch({"listen": {"head_timeout_s": 2.0}})
    line = 'stompgate_connections{transport="sockjs-xhr-streaming"}'
    async with connected(daemon.ws_url, SELLER) as sender:
        web = Web(daemon.url)
        path = new_session(SERVICE)
        with socket.create_connection(("127.0.0.1", daemon.port)) as deaf:
            deaf.sendall(f"POST {path}/xhr_streaming HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            await until(lambda: counts(daemon, line, 1), "the session is there")
            hello = ["CONNECT\naccept-version:1.2\nhost:x\nsender:u\n\n\0", "SUBSCRIBE\nid:1\ndestination:/topic/deaf\n\n\0"]
            await web.post(f"{path}/xhr_send", json.dumps(hello))
            body, slow = "x" * 60_000, 'stompgate_connections_closed_total{cause="slow-consumer"}'
            for _ in range(300):
                await sender.send("/topic/deaf", body)
            await until(lambda: counts(daemon, slow, 1), "it is closed, and cut when it takes nothing")
            assert await counts(daemon, line, 0)
        await web.close()


async def counts(daemon: Daemon, line: str, number: float) -> bool:
    return await figure(daemon, line) == number
