"""What the daemon writes for whoever reads its log: whose a line is, what a connection did, how the server is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from stompgate.bursts import EVENT
from stompgate.settings import Settings
from stompgate.statistics import FIRST_S
from stompgate.stomp.frames import Frame
from stompgate.wiring import wire
from tests.daemon_process import Daemon, Launch, launcher, wait_until
from tests.fakes import FakeClock
from tests.sockjs.test_promises import Polling
from tests.sockjs.wire import web
from tests.waiting import until
from tests.wire_client import WireClient, connected, make_room, opened, opened_tcp

MESSAGES = 3
EVERY_S = 1800.0


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that these share: STOMP over TCP as well, proxies on this machine, and little patience."""
    hasty = {"stomp": {"heart_beat_send_ms": 100}, "sockjs": {"disconnect_delay_s": 1.0}}
    with launcher(tmp_path_factory.mktemp("log lines")) as launch:
        yield launch({"tcp": {"port": 0}, "http": {"proxies": ["127.0.0.0/8"]}, **hasty})


async def line(daemon: Daemon, event: str, **known: object) -> dict[str, Any]:
    """The one line of that event with these fields."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        found[:] = [line for line in daemon.events(event) if known.items() <= line.items()]
        return bool(found)

    await until(is_there, f"{event} with {known}")
    (only,) = found
    return only


# A connection's close


def subscription(room: str) -> Frame:
    """After whose RECEIPT a client is given all that is said."""
    return Frame("SUBSCRIBE", {"destination": f"/sub/chat/room/{room}", "id": "1", "receipt": "begun"})


def words(room: str) -> list[Frame]:
    """What it then says."""
    return [Frame("SEND", {"destination": f"/pub/room/{room}/message"}, b'{"content":"hello"}')] * MESSAGES


async def talk(client: WireClient, room: str) -> None:
    """Say something to oneself."""
    await client.send_frames(subscription(room))
    await client.receipt("begun")
    await client.send_frames(*words(room))
    for _ in range(MESSAGES):
        await client.expect("MESSAGE")


def check_close(end: dict[str, Any], transport: str, session: str) -> None:
    """What is told of a client that has talked to itself and left."""
    assert (end["connection"], end["transport"], end["version"], end["cause"]) == (session, transport, "1.2", "peer-left")
    assert (end["frames_in"], end["delivered"], end["subscriptions"]) == (2 + MESSAGES, MESSAGES, 1)
    assert end["bytes_in"] > MESSAGES * len("hello")
    assert end["bytes_out"] > MESSAGES * len("hello")
    assert end["lasted_s"] >= 0
    assert end["address"].startswith("127.0.0.1:")


@pytest.mark.parametrize("transport", ["websocket", "tcp"])
async def test_a_close_says_who_it_was_and_what_was_said(daemon: Daemon, transport: str) -> None:
    user = f"{transport}@kr"
    room = await make_room(daemon.url, user)
    async with opened(daemon.ws_url) if transport == "websocket" else opened_tcp(daemon.tcp_url) as client:
        answer = await client.connect(user, heart_beat="0,100")
        await talk(client, room)
        await client.heart_beat()  # is none of the messages
    check_close(await line(daemon, "connection closed", user=user), transport, answer.headers["session"])


async def test_a_close_of_a_session_by_requests_says_the_same(daemon: Daemon) -> None:
    room = await make_room(daemon.url, "polls@kr")
    async with web(daemon.url) as way:
        client = Polling(way)
        answer = await client.connect("polls@kr")
        await client.send(subscription(room))
        await client.has("RECEIPT")
        await client.send(*words(room))
        await client.has("MESSAGE", MESSAGES)
    check_close(await line(daemon, "connection closed", user="polls@kr"), "sockjs-xhr", answer.headers["session"])


async def test_a_close_says_with_which_code_a_client_left(daemon: Daemon) -> None:
    async with connected(daemon.ws_url, "leaves@kr") as client:
        await client.socket.close(1001)
    assert (await line(daemon, "connection closed", user="leaves@kr"))["close_code"] == 1001
    async with connected(daemon.ws_url, "is cut@kr") as client:
        client.socket.transport.abort()
    assert (await line(daemon, "connection closed", user="is cut@kr"))["close_code"] == 1006


async def test_an_address_is_the_one_that_our_proxy_tells(daemon: Daemon) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
    async with opened(daemon.ws_url, additional_headers=forwarded) as client:
        await client.connect("forwarded@kr")
    assert (await line(daemon, "connection closed", user="forwarded@kr"))["address"] == "198.51.100.7"
    async with web(daemon.url) as way:
        path = "/ws-stomp/000/behind-a-proxy"
        await way.ask("POST", f"{path}/xhr", **forwarded)
        await way.post(f"{path}/xhr_send", '["CONNECT\\naccept-version:1.2\\nhost:x\\nsender:polls behind@kr\\n\\n\\u0000"]')
    assert (await line(daemon, "connection closed", user="polls behind@kr"))["address"] == "198.51.100.7"


# Rooms and messages


async def test_what_is_refused_names_the_room_and_whose_connection_it_was(daemon: Daemon) -> None:
    room = await make_room(daemon.url)
    async with opened(daemon.ws_url) as client:
        session = (await client.connect("stranger@kr")).headers["session"]
        await client.send_frames(Frame("SUBSCRIBE", {"destination": f"/sub/chat/room/{room}", "id": "1"}))
        await client.expect("ERROR")
    told = await line(daemon, "subscription refused", room=room)
    assert (told["connection"], told["user"], told["cause"]) == (session, "stranger@kr", "no-such-room")


async def test_a_return_that_recovers_nothing_is_told(daemon: Daemon) -> None:
    room = await make_room(daemon.url, "late@kr")
    async with connected(daemon.ws_url, "late@kr") as client:
        receipt = await client.subscribe(f"/sub/chat/room/{room}", since="of another life")
    told = await line(daemon, "not recovered", room=room)
    assert (told["user"], told["position"]) == ("late@kr", receipt.headers["position"])


async def test_a_deleted_room_is_told_with_who_did_it(daemon: Daemon) -> None:
    room = await make_room(daemon.url, "deletes@kr")
    async with httpx.AsyncClient(base_url=daemon.url, trust_env=False) as http:
        (await http.delete(f"/room/delete/{room}", headers={"X-Auth-User": "deletes@kr"})).raise_for_status()
    assert (await line(daemon, "room deleted", room=room))["user"] == "deletes@kr"


# Storms


def test_connections_that_all_break_at_once_are_some_lines_and_a_count(launch: Launch) -> None:
    daemon = launch({"tcp": {"port": 0}, "log": {"burst_lines": 20, "burst_s": 600}})
    host, port = daemon.tcp_url.removeprefix("tcp://").split(":")
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection((host, int(port))))
    wait_until(lambda: _closed(daemon) == 300, "all of them are gone")
    daemon.stop()
    ends = [line for line in daemon.log() if line["event"] == "connection closed"]
    (told,) = daemon.events(EVENT)
    assert (len(ends), told["of"], told["repeated"], told["cause"]) == (20, "connection closed", 280, "peer-left")
    assert {*told["first"], *told["last"]} == {"connection", "user", "address"}


def _closed(daemon: Daemon) -> float:
    text = httpx.get(f"{daemon.url}/metrics", trust_env=False).text
    (row,) = [row for row in text.splitlines() if row.startswith('stompgate_connections_closed_total{cause="peer-left"}')]
    return float(row.split()[-1])


# Statistics


async def test_the_statistics_say_what_has_been_and_what_came_since(launch: Launch) -> None:
    daemon = launch({"log": {"statistics_every_s": 0.3}})
    room = await make_room(daemon.url)
    async with connected(daemon.ws_url, "buyer") as client:
        await talk(client, room)
        await until(lambda: daemon.events("statistics")[-1:] != [] and _sum(daemon, "messages_delivered") == 3, "they are told")
        lately = daemon.events("statistics")[-1]
        assert lately["connections"]["websocket"] == lately["sessions"] == lately["subscriptions"] == 1
        await client.send_frames(Frame("DISCONNECT", {"receipt": "bye"}))
        await client.receipt("bye")
    await until(lambda: _sum(daemon, "disconnects") == 1 and daemon.events("statistics")[-1]["sessions"] == 0, "and the end")
    last = daemon.events("statistics")[-1]
    total = last["total"]
    assert (total["connects"], total["connecteds"], total["disconnects"], total["messages_stored"]) == (1, 1, 1, MESSAGES)
    assert (total["connections_opened"]["websocket"], total["connections_closed"]) == (1, {"disconnected": 1})
    assert total["connections_abnormal"] == 0
    assert last["parts"] == dict.fromkeys(("listener", "store", "sessions", "mail", "relay"), "ok")
    assert (last["server"], last["memory_bytes"] > 1_000_000) == ("test-server", True)


def _sum(daemon: Daemon, name: str) -> float:
    """What all lines so far say came since the one before."""
    return float(sum(line["since"][name] for line in daemon.events("statistics")))


async def test_the_statistics_come_after_a_minute_and_then_every_half_hour(tmp_path: Path) -> None:
    clock, settings = FakeClock(), Settings.model_validate({"store": f"sqlite://{tmp_path}/chat.db"})
    server = wire(
        settings, clock, asyncio.get_running_loop(), connections=1, fatal=pytest.fail, went_back=pytest.fail, stop=lambda: None
    )
    with capture_logs() as lines:

        async def told_after(seconds: float, number: int) -> None:
            clock.advance(seconds - 1)
            assert len(lines) == number - 1
            clock.advance(1)
            await until(lambda: len(lines) == number, "the line")
            await asyncio.sleep(0)  # it has its next alarm

        server.statistics.start(EVERY_S)
        await asyncio.sleep(0)
        await told_after(FIRST_S, 1)
        await told_after(EVERY_S, 2)
        server.statistics.start(20.0)
        await asyncio.sleep(0)
        await told_after(20, 3)
        server.statistics.start(0)
        clock.advance(10 * EVERY_S)
        await server.statistics.close()
    assert [(line["up_s"], line["since_s"]) for line in lines] == [(60, 60), (1860, 1800), (1880, 20)]
