"""A Spring application with ``enableStompBrokerRelay`` has stompgate as its broker: two servers of it, in one Java process.

What its clients see goes through our broker: broadcasts, queues, user destinations that Spring resolves, its own messages from
server to server; and it notices when our server is away and is back.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stompgate.auth.users_file import hash_password
from stompgate.stomp.frames import Frame
from tests.daemon_process import Daemon
from tests.proxy import Proxy
from tests.requirements import left_out, require_program
from tests.wire_client import WireClient, connected

TARGET = Path(__file__).parent / "target"
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m")
LOGIN, PASSCODE = "spring", "its password"
BEAT_MS = 1000
BEATS = {"heart_beat_send_ms": BEAT_MS, "heart_beat_receive_ms": BEAT_MS, "heart_beat_grace_floor_s": 1.0}
DEADLINE_S = 90.0
"""Two applications start in it, on a busy machine."""
POLL_S = 0.05
ASK_AGAIN_S = 0.5


class Application:
    """The Java process, and what it has told."""

    def __init__(self, output: Path) -> None:
        self._output = output

    async def has_said(self, line: str, times: int = 1) -> str:
        """Wait until it has said a line that begins so, so many times; return what follows."""
        end = time.monotonic() + DEADLINE_S
        while len(found := [said for said in self.lines() if said.startswith(line)]) < times:
            assert time.monotonic() < end, f"{line}: not said {times} times, but {self.lines()[-20:]}"
            await asyncio.sleep(POLL_S)
        return found[-1].removeprefix(line).strip()

    def lines(self) -> list[str]:
        """All that it has said."""
        return self._output.read_text().splitlines()

    @asynccontextmanager
    async def user(self, server: str, name: str) -> AsyncIterator[WireClient]:
        """Someone who is connected to one server of the application, subscribed to ``/topic/news`` and the own queue."""
        port = await self.has_said(f"{server} port")
        async with connected(f"ws://127.0.0.1:{port}/ws?user={name}", None) as client:
            await client.subscribe("/topic/news", "news")
            await client.subscribe("/user/queue/x", "own")
            yield client


@contextmanager
def application(folder: Path, broker_port: int, *servers: str) -> Iterator[Application]:
    """The application with these servers, starting."""
    java = require_program("java")
    if not list(TARGET.glob(".ready-*")):
        left_out(f"there is nothing built in {TARGET}: that needs javac and mvn")
    output = folder / "spring.out"
    environment = {
        **os.environ,
        "BROKER_PORT": str(broker_port),
        "BROKER_LOGIN": LOGIN,
        "BROKER_PASSCODE": PASSCODE,
        "BROKER_BEAT_MS": str(BEAT_MS),
    }
    path = f"{TARGET / 'classes'}:{TARGET / 'jars'}/*"
    with output.open("wb") as out:
        command = [java, *QUICK_START, "-cp", path, "stompgate.spring.Chat", *servers]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield Application(output)
    finally:
        process.kill()
        process.wait()


async def arrives(words: str, *clients: WireClient) -> Frame:
    """Each of these is given a MESSAGE of these words next; returns the last one."""
    for client in clients:
        message = await client.expect("MESSAGE")
        assert message.body.decode() == words
    return message


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, dict[str, str | int | float]]:
    """What docs/protocol.md says a Spring application needs: a login of its own."""
    users = tmp_path / "users"
    users.write_text(f"{LOGIN}:{hash_password(PASSCODE)}\n")
    return {"auth": {"mode": "users", "users_file": str(users)}, "stomp": {**BEATS}}


async def test_stompgate_is_the_broker_of_a_spring_application(
    launch: Callable[..., Daemon], settings: dict[str, dict[str, str | int | float]], tmp_path: Path
) -> None:
    daemon = launch(settings, "--tcp-port", "0")
    async with AsyncExitStack() as stack:
        way = await stack.enter_async_context(Proxy(*address_of(daemon)))  # it stays where it is while the server moves
        spring = stack.enter_context(application(tmp_path, way.port, "one", "two"))
        for server in ("one", "two"):
            await spring.has_said(f"{server} broker true")
        async with (
            spring.user("one", "anna") as anna,
            spring.user("two", "ben") as ben,
            connected(daemon.tcp_url, None, login=LOGIN, passcode=PASSCODE) as plain,
        ):
            await plain.subscribe("/topic/news")
            await broadcasts(anna, ben, plain)
            await a_queue_has_one_receiver(anna, ben)
            await user_destinations(anna, ben, "anna", "ben")
            await all_servers_know_all_users(anna)

        await asyncio.to_thread(daemon.stop)
        for server in ("one", "two"):
            await spring.has_said(f"{server} broker false")
        await asyncio.to_thread(daemon.start_again)
        way.target = address_of(daemon)
        for server in ("one", "two"):
            await spring.has_said(f"{server} broker true", 2)
        # Others than before: for 20 s Spring's servers believe in the sessions that those had on the other one.
        async with spring.user("one", "cleo") as cleo, spring.user("two", "dan") as dan:
            await cleo.send_frames(Frame("SEND", {"destination": "/app/announce/news"}, b"back again"))
            await arrives("one: back again", cleo, dan)
            await user_destinations(cleo, dan, "cleo", "dan")
    causes = {event["cause"] for event in daemon.events("connection closed")}
    assert "heartbeat-lost" not in causes


async def broadcasts(anna: WireClient, ben: WireClient, plain: WireClient) -> None:
    """From Spring's controller to all of its servers and to others, and back."""
    await anna.send_frames(Frame("SEND", {"destination": "/app/announce/news"}, "안녕 🙂".encode()))
    await arrives("one: 안녕 🙂", anna, ben, plain)
    await plain.send("/topic/news", "from elsewhere")
    await arrives("from elsewhere", anna, ben, plain)
    await ben.send("/topic/news", "straight to the broker")
    await arrives("straight to the broker", anna, ben, plain)


async def a_queue_has_one_receiver(anna: WireClient, ben: WireClient) -> None:
    """Two on two servers share a queue; what one does not acknowledge is the other's."""
    await anna.subscribe("/queue/orders", "orders", ack="client-individual")
    await ben.send("/queue/orders", "a bicycle")
    refused = await arrives("a bicycle", anna)
    await ben.subscribe("/queue/orders", "orders", ack="client-individual")
    await anna.send_frames(Frame("UNSUBSCRIBE", {"id": "orders"}))
    message = await arrives("a bicycle", ben)
    assert message.headers["message-id"] == refused.headers["message-id"]
    await ben.ask(Frame("ACK", {"id": message.headers["ack"]}))
    await ben.ask(Frame("UNSUBSCRIBE", {"id": "orders"}))


async def user_destinations(one: WireClient, two: WireClient, first: str, second: str) -> None:
    """Spring makes a queue of the session's out of ``/user/queue/x``, and finds users on its other servers."""
    await one.send_frames(Frame("SEND", {"destination": "/app/echo"}, b"an echo"))
    echo = await arrives(f"{first}: an echo", one)
    assert (echo.headers["destination"], echo.headers["subscription"]) == ("/user/queue/x", "own")
    await two.send_frames(Frame("SEND", {"destination": f"/app/tell/{first}"}, b"over there"))
    await arrives(f"{second}: over there", one)
    await one.send_frames(Frame("SEND", {"destination": f"/app/tell/{second}"}, b"and back"))
    await arrives(f"{first}: and back", two)


async def all_servers_know_all_users(anna: WireClient) -> None:
    """Spring's servers tell each other of their users through our broker."""
    await anna.subscribe("/user/topic/count", "count")
    end = time.monotonic() + DEADLINE_S
    while True:
        await anna.send_frames(Frame("SEND", {"destination": "/app/count"}))
        if (await anna.expect("MESSAGE")).body == b"users: 2":
            return
        assert time.monotonic() < end, "one server does not know the other's users"
        await asyncio.sleep(ASK_AGAIN_S)


def address_of(daemon: Daemon) -> tuple[str, int]:
    """Host and port of its STOMP over TCP."""
    port = urlsplit(daemon.tcp_url).port
    assert port is not None
    return "127.0.0.1", port
