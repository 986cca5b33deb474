"""A full disk: what cannot be stored is refused, all else goes on, and room is all it takes for everything to go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stompgate.model.causes import Cause
from stompgate.stomp.frames import Frame
from tests.daemon_process import Daemon, Launch
from tests.wire_client import WireClient, connected, make_room

from .disks import Disk, disk_in

DEADLINE_S = 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with disk_in(tmp_path / "disk") as disk:
        yield disk


def chat(room: str, content: str) -> Frame:
    """A SEND whose receipt and client id are its content."""
    headers = {"destination": f"/pub/room/{room}/message", "receipt": content, "client-message-id": content}
    return Frame("SEND", headers, json.dumps({"content": content}).encode())


async def answer_to(daemon: Daemon, sent: Frame) -> tuple[str, str]:
    """Send a frame on a connection of its own; the command that answers it, and the cause if it is an ERROR."""
    async with connected(daemon.ws_url, "buyer") as client:
        await client.send_frames(sent)
        answer = await client.frame()
    assert answer.headers["receipt-id"] == sent.headers["receipt"]
    return answer.command, answer.headers.get("code", "")


async def readiness(daemon: Daemon) -> tuple[int, dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{daemon.url}/health/ready")
    return answer.status_code, answer.json()["parts"]["store"]


async def history(daemon: Daemon, room: str) -> list[tuple[int, str]]:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{daemon.url}/chat/room/{room}", headers={"X-Auth-User": "buyer"})
    assert answer.status_code == 200
    return [(message["seq"], message["content"]) for message in answer.json()]


async def fill(daemon: Daemon, disk: Disk, room: str) -> tuple[list[str], str]:
    """Fill the disk, and the little room that is left in what the database has already. What was stored, and what was not."""
    disk.fill(daemon)
    for number in range(1000):
        answer = await answer_to(daemon, chat(room, f"full-{number}"))
        if answer != ("RECEIPT", ""):
            assert answer == ("ERROR", Cause.OUTCOME_UNKNOWN.code)
            return [f"full-{stored}" for stored in range(number)], f"full-{number}"
    raise AssertionError("the disk does not fill")


async def test_a_full_disk_refuses_messages_and_nothing_else(launch: Launch, disk: Disk) -> None:
    daemon = launch({"chat": {"unknown_outcome_s": 1.0}}, "--store", f"sqlite://{disk.folder}/chat.db")
    room, pid = await make_room(daemon.url), daemon.pid
    async with connected(daemon.ws_url, "seller") as watcher:
        await watcher.subscribe(f"/sub/chat/room/{room}", "room")
        await watcher.subscribe("/topic/elsewhere", "elsewhere")
        assert await answer_to(daemon, chat(room, "before")) == ("RECEIPT", "")
        stored, in_doubt = await fill(daemon, disk, room)
        for content in ("refused-1", "refused-2"):
            assert await answer_to(daemon, chat(room, content)) == ("ERROR", Cause.STORE_UNAVAILABLE.code)
        await check_all_else_goes_on(daemon, room, ["before", *stored], watcher)

        disk.clear(daemon)
        async with asyncio.timeout(DEADLINE_S):
            while (await readiness(daemon))[0] != 200:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.05)
        again = [in_doubt, "refused-2", "after"]
        for content in again:
            assert await answer_to(daemon, chat(room, content)) == ("RECEIPT", "")
        assert daemon.pid == pid
        expected = list(enumerate(["before", *stored, *again], 1))
        assert await history(daemon, room) == expected
        assert [seen(await watcher.expect("MESSAGE")) for _ in again] == again
    await asyncio.to_thread(daemon.kill)
    await asyncio.to_thread(daemon.start)
    assert await history(daemon, room) == expected


async def check_all_else_goes_on(daemon: Daemon, room: str, stored: list[str], watcher: WireClient) -> None:
    status, store = await readiness(daemon)
    assert status == 503
    assert store["status"] == "down"
    assert "SQLITE_" in store["reason"]
    assert await history(daemon, room) == list(enumerate(stored, 1))
    topic = Frame("SEND", {"destination": "/topic/elsewhere", "receipt": "topic"}, b"all is well")
    assert await answer_to(daemon, topic) == ("RECEIPT", "")
    await watcher.ask(Frame("UNSUBSCRIBE", {"id": "elsewhere"}))
    came = [await watcher.expect("MESSAGE") for _ in range(len(stored) + 1)]
    assert [seen(message) for message in came if message.headers["subscription"] == "room"] == stored
    assert [message.body for message in came if message.headers["subscription"] == "elsewhere"] == [b"all is well"]


def seen(message: Frame) -> str:
    return str(json.loads(message.body)["content"])
