"""Two servers behind a real nginx with the file of ``deploy``: what browsers and old clients meet in front of a group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from tests.daemon_process import Daemon, Launch
from tests.services import Service, start_nginx
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


async def test_a_page_from_nginx_has_the_same_origin_and_another_has_not(nginx: Service) -> None:
    async with opened(ws_url(nginx), origin=Origin(nginx.url)) as client:
        await client.connect()
    with pytest.raises(InvalidStatus, match="403"):
        async with opened(ws_url(nginx), origin=Origin("http://elsewhere.example")):
            pass
