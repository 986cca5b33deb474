"""A server starts, says why it cannot, stops in order, and has after any end what it said was stored."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from stompgate.bursts import EVENT
from stompgate.model.causes import Cause
from tests.daemon_process import DEADLINE_S, Daemon, Ended, Launch, wait_until
from tests.wire_client import connected, make_room, opened


def fail_to_start(daemon: Daemon) -> Ended:
    """Start what cannot start; it must say so in one line and leave nothing in its log."""
    daemon.spawn()
    try:
        ended = daemon.wait()
    finally:
        daemon.put_down()
    lines = ended.errors.splitlines()
    assert len(lines) == 1, ended.errors
    assert lines[0].startswith("stompgate: ")
    return ended


# What keeps it from starting


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_a_port_in_use_is_said_in_one_line(tmp_path: Path, host: str) -> None:
    with socket.socket(socket.AF_INET6 if host == "" else socket.AF_INET) as other:
        other.bind(("", 0) if host == "" else ("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = fail_to_start(Daemon(tmp_path, None, ["--host", host, "--port", str(port)]))
    assert ended.code == 1
    assert str(port) in ended.errors
    assert "in use" in ended.errors


def test_a_host_that_does_not_exist_is_said_in_one_line(tmp_path: Path) -> None:
    ended = fail_to_start(Daemon(tmp_path, None, ["--host", "no-such-host.invalid"]))
    assert ended.code == 1
    assert "no-such-host.invalid" in ended.errors


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = fail_to_start(Daemon(tmp_path, None, ["--store", f"sqlite://{tmp_path}/file/chat.db"]))
    assert ended.code == 1
    assert f"{tmp_path}/file" in ended.errors


def test_a_database_that_another_process_has_is_said_in_one_line(daemon: Daemon, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    ended = fail_to_start(Daemon(second, None, ["--store", f"sqlite://{daemon.folder / 'chat.db'}"]))
    assert ended.code == 1
    assert "chat.db" in ended.errors


def test_a_database_of_a_newer_version_is_said_in_one_line(daemon: Daemon) -> None:
    daemon.stop()
    with sqlite3.connect(daemon.folder / "chat.db") as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        (table,) = [name for name in tables if "min_program" in str(database.execute(f"PRAGMA table_info({name})").fetchall())]
        database.execute(f"UPDATE {table} SET min_program = '999.0.0'")
    database.close()
    ended = fail_to_start(daemon)
    assert ended.code == 1
    assert "newer" in ended.errors or "999" in ended.errors


@pytest.mark.parametrize(
    "settings", [{"stomp": {"no_such_key": 1}}, {"no_such_part": {"x": 1}}, {"listen": {"backlog": "many"}}], ids=str
)
def test_settings_that_are_wrong_are_said_in_one_line(tmp_path: Path, settings: dict[str, dict[str, str | int]]) -> None:
    ended = fail_to_start(Daemon(tmp_path, settings))
    assert ended.code == 2
    assert "settings.toml" in ended.errors
    assert next(iter(settings)) in ended.errors


def test_tls_files_that_cannot_be_used_are_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key")
    options = ["--tls-certificate", str(tmp_path / "key.pem"), "--tls-key", str(tmp_path / "key.pem")]
    ended = fail_to_start(Daemon(tmp_path, None, options))
    assert ended.code == 1
    assert "key.pem" in ended.errors


# How it stops


async def test_sigterm_tells_the_clients_to_come_back_and_keeps_what_was_receipted(daemon: Daemon) -> None:
    room = await make_room(daemon.url)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(daemon.ws_url, "buyer")) for _ in range(5)]
        await clients[0].send(f"/pub/room/{room}/message", '{"content":"kept"}')
        idle = await stack.enter_async_context(opened(daemon.ws_url))
        kept_alive = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        assert (await kept_alive.get(f"{daemon.url}/health/ready")).status_code == 200
        stopping = asyncio.create_task(asyncio.to_thread(daemon.stop))
        codes = [await client.close_code() for client in (*clients, idle)]
        await stopping
    assert codes == [Cause.SERVER_STOPPING.close_code] * 6
    ends = daemon.events("connection closed")
    assert [end["cause"] for end in ends] == [Cause.SERVER_STOPPING.code] * 6
    daemon.start()
    async with httpx.AsyncClient(trust_env=False) as http:
        history = (await http.get(f"{daemon.url}/chat/room/{room}", headers={"X-Auth-User": "buyer"})).json()
    assert [message["content"] for message in history] == ["kept"]


async def test_sigterm_waits_for_a_peer_that_does_not_close_only_so_long(launch: Launch) -> None:
    daemon = launch({"websocket": {"close_timeout_s": 0.3}})
    async with connected(daemon.ws_url) as client:
        client.socket.transport.pause_reading()
        await asyncio.to_thread(daemon.stop)
        client.socket.transport.abort()


async def test_sigterm_is_not_kept_up_by_requests_that_never_end(launch: Launch) -> None:
    daemon = launch()
    _, writer = await asyncio.open_connection("localhost", daemon.port)
    writer.write(b"POST /inquiry/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
    await writer.drain()
    try:
        await asyncio.to_thread(daemon.stop)
    finally:
        writer.transport.abort()


async def test_a_second_sigterm_ends_it_at_once_and_the_log_tells_all_that_it_had_counted(launch: Launch) -> None:
    daemon = launch({"log": {"burst_lines": 1, "burst_s": 600.0}})
    daemon.expected_log.add("stopped at once, by a second signal")
    for _ in range(3):
        async with connected(daemon.ws_url):
            pass
    async with connected(daemon.ws_url) as client:
        client.socket.transport.pause_reading()
        daemon.signal(signal.SIGTERM)
        await asyncio.to_thread(wait_until, lambda: not can_connect(daemon), "it listens no more")
        daemon.signal(signal.SIGTERM)
        assert (await asyncio.to_thread(daemon.wait)).code == 1
        client.socket.transport.abort()
    daemon.check_log()
    assert len(daemon.events("connection closed")) == 1
    assert [line["repeated"] for line in daemon.events(EVENT)] == [2]


def can_connect(daemon: Daemon) -> bool:
    """Whether anyone listens on its port."""
    try:
        socket.create_connection(("127.0.0.1", daemon.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_ctrl_c_ends_it_as_sigterm_does(daemon: Daemon) -> None:
    daemon.signal(signal.SIGINT)
    assert daemon.wait().code == 0
    daemon.check_log()


# Started on a terminal

ON_A_TERMINAL = ("setsid", "sh", "-c")
"""Behind it a script that opens the terminal, which becomes the one of its session."""
TELLS_BY_ITS_CODE = """
import os, signal
from stompgate.terminal import Terminal
terminal = Terminal(os.environ)
signal.signal(signal.SIGHUP, lambda *_: os._exit(terminal.is_closed))
print("it is there", flush=True)
signal.pause()
"""


def test_sighup_has_it_read_its_settings_until_its_terminal_is_closed_which_ends_it_as_sigterm_does(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    program = (*ON_A_TERMINAL, 'exec "$@" <"$0"', os.ttyname(theirs), sys.executable, "-m", "stompgate")
    daemon = Daemon(tmp_path, program=program).start()
    try:
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: daemon.events("settings read again") != [], "they are read again")
        os.close(theirs)
        os.close(ours)
        daemon.signal(signal.SIGHUP)  # from the shell, beside that of the system
        assert daemon.wait().code == 0
    finally:
        daemon.put_down()
    assert (len(daemon.events("settings read again")), len(daemon.events("stopped"))) == (1, 1)
    daemon.check_log()


@pytest.mark.parametrize(
    ("start", "ends_with_it"),
    [
        ('exec "$@" <"$0"', True),
        ('trap "" HUP; exec "$@" <"$0"', False),
        ('NOTIFY_SOCKET=/none exec "$@" <"$0"', False),
        (': <"$0"; exec "$@" </dev/null', False),
    ],
    ids=["by hand", "as nohup does", "by a supervisor", "with its streams elsewhere"],
)
def test_only_what_was_started_by_hand_on_a_terminal_ends_with_it(start: str, ends_with_it: bool) -> None:
    ours, theirs = os.openpty()
    command = (*ON_A_TERMINAL, start, os.ttyname(theirs), sys.executable, "-c", TELLS_BY_ITS_CODE)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.close(theirs)
        os.close(ours)
        assert process.wait(DEADLINE_S) == ends_with_it


async def test_what_was_receipted_outlives_a_kill(daemon: Daemon) -> None:
    room = await make_room(daemon.url)
    said: list[str] = []
    async with connected(daemon.ws_url, "buyer") as client:
        for number in range(20):
            await client.send(f"/pub/room/{room}/message", f'{{"content":"{number}"}}')
            said.append(str(number))
        await asyncio.to_thread(daemon.kill)
    await asyncio.to_thread(daemon.start)
    async with httpx.AsyncClient(trust_env=False) as http:
        history = (await http.get(f"{daemon.url}/chat/room/{room}", headers={"X-Auth-User": "buyer"})).json()
    assert [message["content"] for message in history] == said
    assert [message["seq"] for message in history] == list(range(1, 21))


async def test_the_session_shows_the_port_that_it_really_has(daemon: Daemon) -> None:
    async with connected(daemon.ws_url, "somebody"):
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{daemon.url}/chat/debug/sessions/somebody")
        assert answer.json()["serverUrl"] == f"ws://localhost:{daemon.port}/ws-stomp"
