"""A process that may open few files refuses whom it cannot serve, says so, and lives."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.daemon_process import Daemon, wait_until
from tests.wire_client import connected, make_room

DEADLINE_S = 30.0
FILES = 128
CONNECTIONS = FILES - 64  # kept for everything else


@pytest.fixture
def poor_daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that may open few files. Its interpreter takes an age to start, in which its limit is set."""
    daemon = Daemon(tmp_path)
    daemon.spawn()
    try:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        wait_until(lambda: daemon.url != "" or not daemon.is_running, "the daemon is ready")
        yield daemon
        daemon.stop()
    finally:
        daemon.put_down()


async def ask_live(daemon: Daemon) -> bytes:
    """What a newcomer is answered, on a connection that stays open; nothing if it was cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    try:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def test_whoever_is_too_many_is_told_so_and_the_others_are_served(poor_daemon: Daemon) -> None:
    daemon = poor_daemon
    room = await make_room(daemon.url)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(daemon.ws_url, "buyer")) for _ in range(CONNECTIONS)]
        answer = await ask_live(daemon)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"application/problem+json" in answer
        assert b"too-many-connections" in answer
        # Far more at once than there are files: some may be cut without a word, none is served, the daemon lives.
        crowd = await asyncio.gather(*(ask_live(daemon) for _ in range(4 * FILES)))
        assert {answer[:13] for answer in crowd} <= {b"", b"HTTP/1.1 503 "}
        assert sum(b"too-many-connections" in answer for answer in crowd) > FILES / 2
        for client in clients:
            await client.send(f"/pub/room/{room}/message", '{"content":"still served"}')
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(DEADLINE_S):
        while (await http.get(f"{daemon.url}/health/ready")).status_code != 200:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)
        history = await http.get(f"{daemon.url}/chat/room/{room}", headers={"X-Auth-User": "buyer"})
    assert len(history.json()) == CONNECTIONS
