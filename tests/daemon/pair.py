"""Two servers on a MariaDB, a Kafka and a Redis of their own, with links that can be cut, for tests of what happens to them.

The servers run with short time-outs: what is tested is that they end, not how long they are.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx

from stompgate.stomp.frames import Frame
from tests.daemon_process import Sections
from tests.torture.cluster import Cluster, several_servers
from tests.torture.record import Record
from tests.waiting import until
from tests.wire_client import WireClient, connected

HASTY: Sections = {
    "http": {"operators": ["*"]},
    "chat": {"unknown_outcome_s": 1.0},
    "mysql": {"deadline_s": 2.0, "connect_timeout_s": 1.0},
    "kafka": {
        "request_timeout_s": 1.0,
        "delivery_timeout_s": 2.0,
        "stalled_after_s": 2.0,
        "retry_most_s": 1.0,
        "flush_timeout_s": 1.0,
    },
    "redis": {"deadline_s": 0.5, "reconnect_limit_s": 0.5},
}
DEADLINE_S = 30.0
_POLL_S = 0.05


class Addressed(Protocol):
    """A server that can be asked: a member of a cluster, or a daemon."""

    @property
    def url(self) -> str:
        """Its address, like ``http://localhost:40000``."""


@asynccontextmanager
async def pair(folder: Path, settings: Sections = HASTY) -> AsyncIterator[Cluster]:
    """The two, ready."""
    async with several_servers(folder, 2, Record(), settings) as cluster:
        await asyncio.gather(*(asyncio.to_thread(member.daemon.start) for member in cluster.members))
        yield cluster


async def eventually(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition of another process."""
    await until(holds, what, DEADLINE_S, every_s=_POLL_S)


async def health(member: Addressed) -> tuple[int, str, dict[str, dict[str, str]]]:
    """What a server says of itself: status code, status, parts."""
    code, body = await get(member, "/health/ready")
    return code, body["status"], body["parts"]


async def all_ready(cluster: Cluster) -> None:
    """Wait until every server is ready in all parts."""

    async def are_ready() -> bool:
        return not any((await cluster.healthy()).values())

    await eventually(are_ready, "every server is ready")


async def get(member: Addressed, path: str, user: str = "buyer") -> tuple[int, Any]:
    """Status and JSON of an answer."""
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as http:
        answer = await http.get(f"{member.url}{path}", headers={"X-Auth-User": user})
    return answer.status_code, answer.json()


def ws_url(member: Addressed) -> str:
    """Where WebSockets are opened, without a link between."""
    return f"{member.url.replace('http', 'ws', 1)}/ws-stomp"


def chat(room: str, content: str) -> Frame:
    """A SEND whose receipt and client id are its content."""
    headers = {"destination": f"/pub/room/{room}/message", "receipt": content, "client-message-id": content}
    return Frame("SEND", headers, json.dumps({"content": content}).encode())


async def answers(member: Addressed, room: str, *contents: str) -> list[tuple[str, str]]:
    """Send each on a connection of its own; the command that answers it, and the cause if it is an ERROR."""
    found = []
    for content in contents:
        async with connected(ws_url(member), "buyer") as client:
            await client.send_frames(chat(room, content))
            answer = await client.frame()
        assert answer.headers["receipt-id"] == content
        found.append((answer.command, answer.headers.get("code", "")))
    return found


@asynccontextmanager
async def watchers(cluster: Cluster, room: str) -> AsyncIterator[list[WireClient]]:
    """A member of a room on each server, subscribed to it."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(ws_url(member), "seller")) for member in cluster.members]
        for client in clients:
            await client.subscribe(f"/sub/chat/room/{room}", "room")
        yield clients


async def watched(client: WireClient, number: int) -> list[tuple[int, str]]:
    """The next messages that a watcher is given, so many and no more, as (seq, content). It watches no longer then."""
    bodies = [json.loads((await client.expect("MESSAGE")).body) for _ in range(number)]
    await client.send_frames(Frame("UNSUBSCRIBE", {"id": "room", "receipt": "no more"}))
    await client.expect("RECEIPT")
    return [(body["seq"], body["content"]) for body in bodies]
