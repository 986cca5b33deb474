"""The examples of docs/clients.md do what the page says of them, with the real daemon."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser

from stompgate.auth.users_file import hash_password
from stompgate.client import ChatClient, connect
from tests.clients.conftest import browser
from tests.clients.rooms import history
from tests.clients.test_stompjs_2 import served
from tests.daemon_process import Daemon, Launch
from tests.requirements import require_node_package

from .programs import EXAMPLES, PYTHON, Program, opened, python, shows, started, with_packages

__all__ = ["browser"]

ANN, BOB = "ann", "bob"


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples in JavaScript, ready to run."""
    for package in ("ws", "sockjs-client", "stompjs"):
        require_node_package(package)
    return with_packages(require_node_package("@stomp/stompjs"), tmp_path_factory.mktemp("examples"))


@pytest.fixture
def room(shared_daemon: Daemon) -> str:
    return shared_daemon.make_room(ANN, BOB, str(uuid.uuid4()))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test starts ends with it."""
    async with AsyncExitStack() as stack:
        yield stack


async def check_over_a_crash(daemon: Daemon, room: str, readers: Sequence[Program], writer: Program | None = None) -> None:
    """Everyone is shown each message once and in order, what was written while the server was dead as well."""
    async with ChatClient(daemon.ws_url, user=ANN) as ann:
        await ann.send(room, "1")
        for reader in readers:
            await shows(reader, "ann: 1")
        await asyncio.to_thread(daemon.kill)
        sending = asyncio.create_task(ann.send(room, "while it was dead"))
        if writer is not None:
            await writer.type("mine as well")
        await asyncio.to_thread(daemon.start_again)
        await sending
        if writer is not None:
            await shows(writer, "bob: mine as well")
        await ann.send(room, "3")
        for reader in readers:
            await shows(reader, "ann: 3")
    stored = [f"{message['sender']}: {message['content']}" for message in await history(daemon, room, ANN)]
    assert len(stored) == (3 if writer is None else 4)
    for reader in readers:
        assert [line for line in await reader.lines() if line.startswith(("ann: ", "bob: "))] == stored


async def test_in_python_nothing_is_missed_over_a_crash(shared_daemon: Daemon, room: str, stack: AsyncExitStack) -> None:
    readers = []
    for name in ("recovery.py", "chat.py"):
        readers.append(
            await stack.enter_async_context(started(*python(name), shared_daemon.ws_url, BOB, room, folder=EXAMPLES))
        )
        await shows(readers[-1], "-- connected")
    await check_over_a_crash(shared_daemon, room, readers)
    await shows(readers[1], "-- connected again, nothing was missed")


async def test_in_python_the_texts_of_the_command_line_are_sent(shared_daemon: Daemon, room: str) -> None:
    command = (*python("chat.py"), shared_daemon.ws_url, BOB, room, "hello", "from here")
    async with started(*command, folder=EXAMPLES) as program:
        await shows(program, "bob: from here")
        assert program.said == ["-- connected", "bob: hello", "bob: from here"]


async def test_in_node_nothing_is_missed_over_a_crash(
    shared_daemon: Daemon, room: str, javascript: Path, stack: AsyncExitStack
) -> None:
    program = await stack.enter_async_context(started("node", "node.mjs", shared_daemon.ws_url, BOB, room, folder=javascript))
    await shows(program, "-- connected")
    await check_over_a_crash(shared_daemon, room, [program], writer=program)
    assert program.said.count("-- connected") == 2


async def test_in_node_a_refusal_is_told_and_the_rest_goes_on(shared_daemon: Daemon, room: str, javascript: Path) -> None:
    async with started("node", "node.mjs", shared_daemon.ws_url, BOB, room, folder=javascript) as program:
        await shows(program, "-- connected")
        await program.type("x" * 5001)
        await program.type("and short")
        await shows(program, "bob: and short")
        assert f"-- body-too-long: {'x' * 5001}" in program.said
    async with started("node", "node.mjs", shared_daemon.ws_url, "stranger", room, folder=javascript) as program:
        await shows(program, "-- no-such-room: the room")
    async with started("node", "node.mjs", shared_daemon.ws_url, "", room, folder=javascript) as program:
        await shows(program, "identity-required: Say who you are.")
        assert await program.process.wait() == 1


async def test_in_a_browser_nothing_is_missed_over_a_crash(
    browser: Browser, launch: Launch, javascript: Path, stack: AsyncExitStack
) -> None:
    origin = stack.enter_context(served(javascript))
    daemon = launch({"listen": {"allowed_origins": [origin]}})
    room = daemon.make_room(ANN, BOB)
    query = {"server": daemon.url, "user": BOB, "room": room}
    pages = [
        await stack.enter_async_context(opened(browser, f"{origin}/{name}", shown, **query, **more))
        for name, shown, more in (
            ("chat.html", "#log li", {}),
            ("chat.html", "#log li", {"sockjs": ""}),
            ("old.html", "#log", {}),
        )
    ]
    for page in pages[:2]:
        await shows(page, "connected")
    await check_over_a_crash(daemon, room, pages, writer=pages[0])
    if folder := os.environ.get("STOMPGATE_SCREENSHOTS"):
        await pages[0].page.screenshot(path=Path(folder) / "example.png")


async def test_users_with_passwords_share_a_queue(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"ann:{hash_password('secret')}\n")
    daemon = launch({"auth": {"mode": "users", "users_file": str(tmp_path / "users")}, "tcp": {"port": 0}})
    async with started(*python("worker.py"), daemon.tcp_url, ANN, "secret", folder=EXAMPLES) as worker:
        await shows(worker, "working on a first order, from the worker itself")
        async with connect(daemon.ws_url, login=ANN, passcode="secret") as ann:
            await ann.send("/queue/orders", "another")
        await shows(worker, "working on another")
    address = urlsplit(daemon.tcp_url)
    command = (*python("with_stomp_py.py"), str(address.hostname), str(address.port), ANN, "secret")
    async with started(*command, folder=EXAMPLES) as program:
        await shows(program, "hello from stomp.py")


def test_a_client_is_tested_by_the_fixtures() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider"]
    folder = EXAMPLES / "testing"
    ended = subprocess.run(command, cwd=folder, env=PYTHON, capture_output=True, text=True, timeout=300, check=False)
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr
