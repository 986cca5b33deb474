"""Two servers behind a real nginx with the file of ``deploy``: what browsers and old clients meet in front of a group."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from stompgate.stomp.frames import Frame
from tests.daemon_process import Daemon, Launch
from tests.services import Service, start_nginx
from tests.sockjs.test_promises import Polling
from tests.sockjs.wire import new_session, web
from tests.wire_client import WireClient, connected, opened

CLIENTS = 24
STOPPING = 1012


@pytest.fixture
def servers(launch: Launch) -> tuple[Daemon, Daemon]:
    return launch(), launch()


@pytest.fixture
def nginx(servers: tuple[Daemon, Daemon], tmp_path: Path) -> Iterator[Service]:
    one, other = servers
    with start_nginx(tmp_path / "nginx", one.port, other.port) as nginx:
        yield nginx


def ws_url(nginx: Service) -> str:
    return nginx.url.replace("http", "ws", 1) + "/ws-stomp"


async def code_of_its_end(client: WireClient) -> int | None:
    """The code of the close that the client got; 0 if it is still served."""
    try:
        await client.subscribe("/sub/anything")
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else None
    return 0


async def test_a_server_that_goes_takes_only_its_own_clients_and_nginx_finds_the_other(
    servers: tuple[Daemon, Daemon], nginx: Service
) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(ws_url(nginx))) for _ in range(CLIENTS)]
        await asyncio.to_thread(servers[0].stop)
        assert {await code_of_its_end(client) for client in clients} == {0, STOPPING}
        for _ in range(CLIENTS):  # among them those whom nginx would have sent to the one that is gone
            async with connected(ws_url(nginx)) as client:
                await client.subscribe("/sub/greetings")
                await client.send("/sub/greetings", "hello")
                assert (await client.expect("MESSAGE")).body == b"hello"


async def test_operators_paths_end_at_nginx_however_they_are_written(nginx: Service) -> None:
    async with httpx.AsyncClient(base_url=nginx.url, trust_env=False) as http:
        for path in ("/operator/sessions", "/%6fperator%2Fsessions", "//operator/sessions"):
            assert (await http.get(path)).status_code == 404


async def test_a_page_from_nginx_has_the_same_origin_and_another_has_not(nginx: Service) -> None:
    async with opened(ws_url(nginx), origin=Origin(nginx.url)) as client:
        await client.connect()
    with pytest.raises(InvalidStatus, match="403"):
        async with opened(ws_url(nginx), origin=Origin("http://elsewhere.example")):
            pass


async def test_the_requests_of_a_sockjs_session_meet_on_one_server(servers: tuple[Daemon, Daemon], nginx: Service) -> None:
    async with web(nginx.url) as way:
        clients = [Polling(way) for _ in range(CLIENTS)]
        for client in clients:
            await client.connect()
            await client.send(Frame("SUBSCRIBE", {"id": "1", "destination": "/topic/own", "receipt": "r"}))
            assert await client.has("RECEIPT")
        counts = [await sessions_of(server) for server in servers]
        assert sum(counts) == CLIENTS
        assert 0 not in counts


async def test_a_sockjs_session_on_the_wrong_server_is_told_so(servers: tuple[Daemon, Daemon]) -> None:
    one, other = servers
    path = new_session("/ws-stomp")
    async with web(one.url) as right, web(other.url) as wrong:
        assert await right.post(f"{path}/xhr") == "o\n"
        answer, body = await wrong.ask("POST", f"{path}/xhr_send", '["\\n"]')
        assert (answer.status, json.loads(body)["code"]) == (404, "no-such-session")
        assert "do not all reach one server" in json.loads(body)["detail"]
        assert await wrong.post(f"{path}/xhr") == "o\n"  # a session like any new one; sockjs-client closes what opens twice
        await right.post(f"{path}/xhr_send", '["\\n"]')


async def sessions_of(server: Daemon) -> int:
    async with httpx.AsyncClient(trust_env=False) as http:
        figures = (await http.get(f"{server.url}/metrics")).text
    (line,) = [line for line in figures.splitlines() if line.startswith("stompgate_sockjs_sessions ")]
    return int(float(line.split()[1]))
