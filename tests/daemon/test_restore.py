"""A back-up that is put back: by the book, clients are told; without it, the server notices and ends."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing

from tests.daemon_process import Daemon, Launch
from tests.wire_client import connected, make_room


def new_epoch(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    store = f"sqlite://{daemon.folder / 'chat.db'}"
    command = [sys.executable, "-m", "stompgate", "new-epoch", "--store", store]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


async def test_after_a_new_epoch_a_position_of_before_is_answered_with_the_current_one(daemon: Daemon) -> None:
    room = await make_room(daemon.url)
    destination = f"/sub/chat/room/{room}"
    async with connected(daemon.ws_url, "buyer") as client:
        await client.subscribe(destination)
        await client.send(f"/pub/room/{room}/message", '{"content":"before"}')
        old = (await client.expect("MESSAGE")).headers["position"]
    await asyncio.to_thread(daemon.stop)
    done = await asyncio.to_thread(new_epoch, daemon)
    assert (done.returncode, done.stderr) == (0, "")
    await asyncio.to_thread(daemon.start)
    async with connected(daemon.ws_url, "buyer") as client:
        begun = (await client.subscribe(destination, since=old)).headers
        assert begun["recovered"] == "false"
        assert begun["position"].split(".")[1:] == old.split(".")[1:], "the same row, in another life"
        assert begun["position"] != old
        again = await client.subscribe(destination, "again", since=begun["position"])
        assert again.headers["recovered"] == "true"


def test_no_new_epoch_begins_under_a_running_server(daemon: Daemon) -> None:
    refused = new_epoch(daemon)
    assert refused.returncode == 1
    assert refused.stdout == ""
    (line,) = refused.stderr.splitlines()
    assert "in use by another process" in line


async def test_a_server_under_which_a_back_up_was_put_back_ends_and_says_what_to_do(launch: Launch) -> None:
    daemon = launch({"chat": {"compare_every_s": 0.05, "compare_every_down_s": 0.05}})
    room = await make_room(daemon.url)
    async with connected(daemon.ws_url, "buyer") as client:
        await client.subscribe(f"/sub/chat/room/{room}")
        for content in ("kept", "gone"):
            await client.send(f"/pub/room/{room}/message", f'{{"content":"{content}"}}')
            await client.expect("MESSAGE")
        with closing(sqlite3.connect(daemon.folder / "chat.db", timeout=10)) as database, database:
            database.execute("DELETE FROM sg_message WHERE seq = 2")
            database.execute("UPDATE sg_room SET last_seq = 1")
        ended = await asyncio.to_thread(daemon.wait)
    assert ended.code == 3, "which the unit takes for: do not start it again"
    (line,) = [line for line in ended.errors.splitlines() if "critical" in line]
    assert room in line
    assert "stompgate new-epoch" in line
    assert line == ended.errors.splitlines()[-1], "nothing is done after that"
