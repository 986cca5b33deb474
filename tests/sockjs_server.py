"""The services that the tests of SockJS want, on the program's own listener: ``python -m tests.sockjs_server --port N``.

``/echo``, ``/disabled_websocket_echo`` and ``/cookie_needed_echo`` say everything again, ``/close`` closes with 3000
``Go away!``, ``/amplify`` answers a number n by 2^n times ``x``. A streaming response ends after 4096 bytes. It says where it
listens, and ends when it is told to.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvloop

from stompgate.access.origins import AllowedOrigins
from stompgate.gateway.link import Link
from stompgate.model.causes import Cause
from stompgate.timing.wheel import TimerWheel
from stompgate.transports.door import Doorkeeper, House, ListenLimits
from stompgate.transports.handshake import Doorman
from stompgate.transports.http_protocols import HeadLimits
from stompgate.transports.http_side import HttpSide
from stompgate.transports.listener import Listener
from stompgate.transports.outbox import Flusher, OutboxLimits
from stompgate.transports.sockjs_mount import SockJsMount, SockJsMounts, SockJsOptions
from stompgate.transports.sockjs_session import SockJsLimits, SockJsLink
from stompgate.transports.sockjs_websocket import SockJsSocket
from stompgate.transports.websocket import WebSocketLimits

from .websocket_echo import Echo, no_pages

if TYPE_CHECKING:
    from stompgate.transports.websocket import Receiver

TICK_S = 0.05
RESPONSE_BYTES = 4096
LARGEST_POWER = 20
WAITING_BYTES = 8 << LARGEST_POWER
"""Enough for the largest answer, and some more."""
CLIENT_URL = "/lib/sockjs.js"
_HEAD_S = 10.0


class Amplifier(Echo):
    """2^n times ``x`` for a number n."""

    __slots__ = ()

    def answer(self, message: bytes) -> bytes:
        """The answer to one message."""
        power = int(message) if message.isdigit() else 1
        return b"x" * (1 << min(power, LARGEST_POWER))


class Closer(Echo):
    """Says nothing but goodbye."""

    __slots__ = ()

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        if isinstance(link, SockJsLink | SockJsSocket):
            link.close_with(3000, "Go away!")
        else:
            link.close(Cause.DISCONNECTED)


@dataclass(slots=True)
class Kept:
    """Takes connections in, and knows those that there are. ``lost``: why each of the others ended."""

    make: Callable[[Link], Echo]
    here: list[Echo] = field(default_factory=list)
    lost: list[Cause] = field(default_factory=list)

    def attach(self, link: Link) -> Receiver:
        """Make the receiver for a connection."""
        echo = self.make(link)
        self.here.append(echo)
        echo.told = lambda cause: self._left(echo, cause)
        return echo

    def _left(self, echo: Echo, cause: Cause) -> None:
        self.here.remove(echo)
        self.lost.append(cause)


@dataclass(slots=True)
class Everyone:
    """The gateway's part of the house: all services together."""

    services: Sequence[Kept] = ()

    @property
    def connected(self) -> int:
        """How many connections there are."""
        return sum(len(service.here) for service in self.services)

    def attach(self, link: Link) -> Receiver:
        """There is no WebSocket but those of the services."""
        raise AssertionError(link)


class SockJsServer:
    """All of the services. ``services`` by their paths."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: SockJsLimits,
        origins: Sequence[str] = ("*",),
        send_limits: OutboxLimits | None = None,
    ) -> None:
        self.wheel = TimerWheel(TICK_S)
        flusher = Flusher(loop, self.wheel, send_limits or OutboxLimits())
        self.services = {
            "/echo": Kept(Echo),
            "/disabled_websocket_echo": Kept(Echo),
            "/cookie_needed_echo": Kept(Echo),
            "/close": Kept(Closer),
            "/amplify": Kept(Amplifier),
        }
        allowed = AllowedOrigins(origins)
        self.mounts = {
            path: SockJsMount(
                SockJsOptions(
                    path=path,
                    client_url=CLIENT_URL,
                    has_websocket=path != "/disabled_websocket_echo",
                    sets_cookie=path == "/cookie_needed_echo",
                    limits=limits,
                ),
                allowed,
                flusher,
                service.attach,
                lambda: self.house.objection(),
            )
            for path, service in self.services.items()
        }
        self.http = HttpSide(
            SockJsMounts(list(self.mounts.values()), no_pages), loop.time, patience_s=_HEAD_S, head=HeadLimits()
        )
        self.house = House(
            doorman=Doorman([], allowed, entrances=list(self.mounts.values())),
            http=self.http,
            gateway=Everyone(list(self.services.values())),
            flusher=flusher,
            limits=ListenLimits(),
            websocket_limits=WebSocketLimits(),
        )
        self.listener = Listener(self.house, loop, lambda: Doorkeeper(self.house))
        self._loop = loop
        self._ticking: asyncio.Task[None] | None = None

    async def open(self, port: int = 0) -> str:
        """Listen; return the address."""
        await self.listener.open("127.0.0.1", port, None)
        self._ticking = asyncio.create_task(self._tick())
        return f"http://127.0.0.1:{self.listener.addresses[0][1]}"

    async def close(self) -> None:
        """Listen no more, and let go of who is here."""
        await self.listener.close()
        for service in self.services.values():
            for echo in list(service.here):
                echo.close(Cause.SERVER_STOPPING)
        await self.http.close()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.wheel.advance(self._loop.time())


async def serve(port: int) -> None:
    """Serve until the process is told to end."""
    loop = asyncio.get_running_loop()
    limits = SockJsLimits(response_bytes=RESPONSE_BYTES, cache_bytes=WAITING_BYTES)
    server = SockJsServer(loop, limits, send_limits=OutboxLimits(WAITING_BYTES))
    print(f"SockJS at {await server.open(port)}: {' '.join(server.services)}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    await server.close()


def main(arguments: list[str]) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.sockjs_server")
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(asked.port))


if __name__ == "__main__":
    main(sys.argv[1:])
