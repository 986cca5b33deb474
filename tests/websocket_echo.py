"""An echo server on the program's own listener and WebSocket class: ``python -m tests.websocket_echo --port N``.

It gives each WebSocket message back as it came, text as text and binary as binary, for test suites that know no STOMP.
``--deflate`` agrees to compression. It says where it listens, and ends when it is told to.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvloop

from stompgate.access.origins import AllowedOrigins
from stompgate.gateway.link import Link
from stompgate.model.causes import Cause, Refusal
from stompgate.timing.wheel import TimerWheel
from stompgate.transports.deflate import Deflate, DeflateLimits
from stompgate.transports.door import Doorkeeper, House, ListenLimits
from stompgate.transports.handshake import Doorman
from stompgate.transports.http_protocols import HeadLimits
from stompgate.transports.http_side import HttpSide
from stompgate.transports.listener import Listener
from stompgate.transports.outbox import Flusher, OutboxLimits
from stompgate.transports.websocket import WebSocketLimits

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

LARGEST_BYTES = 16 * 1024 * 1024
_TICK_S = 0.05
_HEAD_S = 10.0


class Echo:
    """What is said on one connection, said again. ``told``: who hears of its end."""

    __slots__ = ("_pieces", "link", "told")

    def __init__(self, link: Link) -> None:
        self.link = link
        self._pieces: list[bytes] = []
        self.told: Callable[[Cause], None] = lambda cause: None
        link.admit()

    def receive_bytes(self, data: bytes) -> None:
        """A piece of a message."""
        self._pieces.append(data)

    def message_ended(self, *, is_text: bool) -> None:
        """That was the last one."""
        self.link.outbox.offer(self.link.framing.wrap(self.answer(b"".join(self._pieces)), is_text=is_text))
        self._pieces.clear()

    def answer(self, message: bytes) -> bytes:
        """The answer to one message."""
        return message

    def fail(self, error: BaseException) -> None:
        """The stream is broken or not read."""
        self.link.close(error.cause if isinstance(error, Refusal) else Cause.INTERNAL)

    def close(self, cause: Cause) -> None:
        """There is nothing to tell."""
        self.link.close(cause)

    def ended(self) -> bool:
        """Every message was answered as it came."""
        return False

    def lost(self, cause: Cause) -> None:
        """The connection is gone."""
        self.told(cause)


@dataclass(slots=True)
class Echoes:
    """The gateway: who is connected does not matter here."""

    connected: int = field(init=False, default=0)

    def attach(self, link: Link) -> Echo:
        """Make the receiver for a connection."""
        return Echo(link)


async def no_pages(_scope: Scope, _receive: Receive, send: Send) -> None:
    """There is nothing but a WebSocket."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})


async def serve(port: int, *, is_deflating: bool) -> None:
    """Echo until the process is told to end."""
    loop = asyncio.get_running_loop()
    limits = DeflateLimits(least_bytes=0, ratio=1100, message_bytes=LARGEST_BYTES)
    wheel = TimerWheel(_TICK_S)
    house = House(
        doorman=Doorman(["/"], AllowedOrigins(["*"]), Deflate(limits) if is_deflating else None),
        http=HttpSide(no_pages, loop.time, patience_s=_HEAD_S, head=HeadLimits()),
        gateway=Echoes(),
        flusher=Flusher(loop, wheel, OutboxLimits(8 * LARGEST_BYTES)),
        limits=ListenLimits(),
        websocket_limits=WebSocketLimits(frame_bytes=LARGEST_BYTES),
    )
    listener = Listener(house, loop, lambda: Doorkeeper(house))
    await listener.open("127.0.0.1", port, None)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print(f"echo at ws://127.0.0.1:{listener.addresses[0][1]}/", flush=True)
    while not stop.is_set():
        try:
            async with asyncio.timeout(_TICK_S):
                await stop.wait()
        except TimeoutError:
            wheel.advance(loop.time())
    await listener.close()


def main(arguments: list[str]) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.websocket_echo")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--deflate", action="store_true", help="agree to permessage-deflate")
    asked = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(asked.port, is_deflating=asked.deflate))


if __name__ == "__main__":
    main(sys.argv[1:])
