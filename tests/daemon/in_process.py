"""A whole server on a thread of this process: its event loop can be made to block, and its clock to jump."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from stompgate.settings import Settings
from stompgate.system_clock import SystemClock
from stompgate.wiring import Server, wire

DEADLINE_S = 30.0


class JumpingClock(SystemClock):
    """The machine's clock, with a time of day that is ``ahead_us`` ahead of it."""

    ahead_us = 0

    def utc_us(self) -> int:
        """Microseconds since 1970, UTC, and what they are wrong by."""
        return super().utc_us() + self.ahead_us


class ServerThread:
    """The server. Whatever is done to it from outside of its thread goes through ``loop.call_soon_threadsafe``."""

    loop: asyncio.AbstractEventLoop
    clock: JumpingClock
    server: Server

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop: asyncio.Event
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    async def start(self) -> None:
        """Return when it listens."""
        self._thread.start()
        assert await asyncio.to_thread(self._is_ready.wait, DEADLINE_S)

    async def stop(self) -> None:
        """Return when it has ended."""
        self.loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, DEADLINE_S)
        assert not self._thread.is_alive()

    def block(self, seconds: float) -> None:
        """Let its event loop stand still while it takes something in: the worst moment, since its timers come next."""
        near, far = socket.socketpair()

        def stand_still() -> None:
            self.loop.remove_reader(near)
            near.close()
            far.close()
            time.sleep(seconds)

        self.loop.call_soon_threadsafe(self.loop.add_reader, near, stand_still)
        far.send(b"\0")

    @property
    def port(self) -> int:
        """The port."""
        return self.server.listeners[0].addresses[0][1]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where WebSockets are opened."""
        return self.url.replace("http", "ws", 1) + "/ws-stomp"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = JumpingClock(self.loop)
        self._stop = asyncio.Event()
        self.server = server = wire(
            self._settings, self.clock, self.loop, connections=1000, fatal=_fail, went_back=_fail, stop=self._stop.set
        )
        async with server.container:
            await server.chat.lease.take()
            server.chat.lease.start()
            server.ticker.start()
            server.chat.feeds.start()
            server.chat.outbox.start()
            await server.listeners[0].open("127.0.0.1", 0, None)
            self._is_ready.set()
            await self._stop.wait()
            await server.listeners[0].close()
            await server.chat.intake.close()
            await server.http.close()
            async with asyncio.timeout(DEADLINE_S):
                while server.gate.connected:  # noqa: ASYNC110 (the clients leave by themselves)
                    await asyncio.sleep(0.01)
            await server.chat.outbox.close()
            await server.chat.lease.close()
            await server.chat.feeds.close()
            server.ticker.stop()


def _fail(reason: str) -> None:
    raise AssertionError(reason)


@asynccontextmanager
async def serving(folder: Path, settings: dict[str, Any] | None = None) -> AsyncIterator[ServerThread]:
    """A server with its data in ``folder``. All clients must have left at the end."""
    thread = ServerThread(Settings.model_validate({"store": f"sqlite://{folder}/chat.db", **(settings or {})}))
    await thread.start()
    try:
        yield thread
    finally:
        await thread.stop()
