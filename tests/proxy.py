"""The tests' own TCP proxy: a link between a client and a server that can be cut, delayed, refused, held up or swallowed.

It runs on the test's event loop and knows no protocol. Its knobs act on living and on new connections alike. Bytes are
never changed or reordered: a stream that lost some is reset, not repaired.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Self, cast

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_HIGH_WATER_BYTES = 1024 * 1024
_DIAL_S = 10.0


class Way(Enum):
    """Which way bytes go."""

    TO_SERVER = auto()
    TO_CLIENT = auto()


BOTH_WAYS = frozenset(Way)
NO_WAY: frozenset[Way] = frozenset()


@dataclass
class _Trap:
    """Ends the connection whose bytes it springs at. ``is_due`` is asked per piece; ``lets_pass``: that piece still arrives."""

    way: Way
    is_due: Callable[[bytes], bool]
    lets_pass: bool


class Proxy:
    """A link to ``target_host:target_port``. Use it with ``async with``; ``port`` is where to connect to.

    Knobs, to be turned at any time: ``delay_s`` (each piece arrives so much later, each way), ``held`` (ways on which bytes
    wait until it is lifted, as in a network that heals), ``swallowed`` (ways on which bytes vanish; connections that lost
    some are reset when it is lifted). ``refuse`` and ``allow`` close and open the port. Counters: ``connections``, ``cuts``,
    ``passed_bytes``.
    """

    def __init__(self, target_host: str, target_port: int, port: int = 0) -> None:
        self.target = (target_host, target_port)
        self.port = port
        self.delay_s = 0.0
        self.connections = 0
        self.cuts = 0
        self.passed_bytes = dict.fromkeys(Way, 0)
        self._held = NO_WAY
        self._swallowed = NO_WAY
        self._traps: list[_Trap] = []
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.allow()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    # Knobs

    async def allow(self) -> None:
        """Take connections, on the port that it had before if it had one."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._accepted, "127.0.0.1", self.port, reuse_address=True)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Reset all connections, and let the kernel refuse new ones."""
        server, self._server = self._server, None
        if server is not None:
            # A connection that the loop has accepted and not made yet would be forgotten, still open, by a server that is
            # closed meanwhile (Python 3.11): no more are accepted first, and those are made.
            for listening in server.sockets:
                asyncio.get_running_loop().remove_reader(listening)
            await asyncio.sleep(0)
            server.close()
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Reset all connections, both sides."""
        for link in list(self._links):
            link.cut()

    @property
    def held(self) -> frozenset[Way]:
        """The ways on which bytes wait."""
        return self._held

    @held.setter
    def held(self, ways: frozenset[Way]) -> None:
        self._held = ways
        for link in self._links:
            link.go_on()

    @property
    def swallowed(self) -> frozenset[Way]:
        """The ways on which bytes vanish."""
        return self._swallowed

    @swallowed.setter
    def swallowed(self, ways: frozenset[Way]) -> None:
        lifted = self._swallowed - ways
        self._swallowed = ways
        for link in list(self._links):
            if link.has_lost(lifted):
                link.cut()
            else:
                link.go_on()

    def heal(self) -> None:
        """Turn all knobs back; the port is not touched."""
        self.delay_s = 0.0
        self._traps.clear()
        self.held = NO_WAY
        self.swallowed = NO_WAY

    # Cuts at an exact place, each once

    def cut_after_bytes(self, way: Way, number: int) -> None:
        """Reset the connection on which, from now on, that many bytes came in total, over all connections."""
        left = number

        def is_due(data: bytes) -> bool:
            nonlocal left
            left -= len(data)
            return left <= 0

        self._traps.append(_Trap(way, is_due, lets_pass=True))

    def cut_at_piece(self, way: Way, number: int) -> None:
        """Reset the connection at the ``number``-th piece from now on (as the system hands them over); it does not arrive."""
        left = number

        def is_due(data: bytes) -> bool:
            nonlocal left
            left -= 1
            return left == 0

        self._traps.append(_Trap(way, is_due, lets_pass=False))

    def cut_at(self, way: Way, text: bytes, *, lets_pass: bool) -> None:
        """Reset the connection on which a piece with ``text`` in it comes. ``lets_pass``: that arrives, its answer does not."""
        self._traps.append(_Trap(way, lambda data: text in data, lets_pass=lets_pass))

    @property
    def has_sprung(self) -> bool:
        """Whether every cut at an exact place has happened."""
        return not self._traps

    # For the links

    @property
    def open_connections(self) -> int:
        """How many connections live."""
        return len(self._links)

    def spring(self, way: Way, data: bytes) -> _Trap | None:
        """The trap that these bytes spring."""
        for trap in self._traps:
            if trap.way is way and trap.is_due(data):
                self._traps.remove(trap)
                return trap
        return None

    def ended(self, link: _Link) -> None:
        """A connection ended, one way or another."""
        self._links.discard(link)

    def _accepted(self) -> _Side:
        link = _Link(self)
        self._links.add(link)
        self.connections += 1
        return link.sides[Way.TO_SERVER]


class _Link:
    """One connection through the proxy: two sides, and what is on its way between them."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        # A side is named by where the bytes go that it receives.
        self.sides = {way: _Side(self, way) for way in Way}
        self._dialling: asyncio.Task[None] | None = None
        self._lost_bytes = dict.fromkeys(Way, 0)
        self._unheard: list[_Side] = []  # closed, and the other side must not hear of it yet
        self._is_over = False

    def made(self, side: _Side) -> None:
        """One side stands. The client's comes first, and the server is dialled for it."""
        if self._is_over:
            side.reset()
        elif side.way is Way.TO_SERVER:
            self._dialling = asyncio.get_running_loop().create_task(self._dial(), name="proxy dials")
        else:
            self.go_on()

    def took(self, way: Way, data: bytes) -> None:
        """Bytes came."""
        trap = self.proxy.spring(way, data)
        if trap is not None:
            if trap.lets_pass:
                self.sides[_other(way)].write(data)
                self.sides[_other(way)].flush_then(self.cut)
            else:
                self.cut()
        elif way in self.proxy.swallowed:
            self._lost_bytes[way] += len(data)
        else:
            self.proxy.passed_bytes[way] += len(data)
            self.sides[_other(way)].expect(data, self.proxy.delay_s)

    def has_lost(self, ways: frozenset[Way]) -> bool:
        """Whether bytes vanished on one of these ways."""
        return any(self._lost_bytes[way] for way in ways)

    def is_held(self, side: _Side) -> bool:
        """Whether a side must not be given what waits for it."""
        return _other(side.way) in self.proxy.held

    def go_on(self) -> None:
        """Something was lifted or has come about: pass on what waits."""
        for side in self.sides.values():
            side.pump()
        unheard, self._unheard = self._unheard, []
        for side in unheard:
            self.ended(side)

    def ended(self, side: _Side) -> None:
        """One side was closed by its peer: what is on its way to the other still arrives, then that is closed too."""
        other = self.sides[_other(side.way)]
        if side.way in self.proxy.swallowed | self.proxy.held and not self._is_over:
            self._unheard.append(side)
            return
        other.end()
        if not other.is_there:
            self.cut()

    def cut(self) -> None:
        """Reset both sides."""
        if self._is_over:
            return
        self._is_over = True
        self.proxy.cuts += 1
        self.proxy.ended(self)
        if self._dialling is not None:
            self._dialling.cancel()
        for side in self.sides.values():
            side.reset()

    def closed(self) -> None:
        """A side is gone for good."""
        if not any(side.is_there for side in self.sides.values()):
            self._is_over = True
            self.proxy.ended(self)

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_DIAL_S):
                await loop.create_connection(lambda: self.sides[Way.TO_CLIENT], *self.proxy.target)
        except OSError:  # TimeoutError is one
            self.cut()


class _Side(asyncio.Protocol):
    """One socket. What it receives goes ``way``; what waits to be written to it lies here, each piece until it is due."""

    def __init__(self, link: _Link, way: Way) -> None:
        self.way = way
        self._link = link
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_to_end = False

    @property
    def is_there(self) -> bool:
        """Whether the socket is open."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._link.made(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        self._link.took(self.way, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._link.ended(self)
        self._link.closed()

    def expect(self, data: bytes, delay_s: float) -> None:
        """Bytes that are to be written to this side, so much later."""
        self._waiting.append((asyncio.get_running_loop().time() + delay_s, data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _HIGH_WATER_BYTES:
            self._source.pause()
        self.pump()

    def pump(self) -> None:
        """Write what is due and not held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        # A transport that is closing may be gone and still have to say so; uvloop raises for what is written to it then.
        while self._waiting and self._transport is not None and not (self._link.is_held(self) or self._transport.is_closing()):
            due_s, data = self._waiting[0]
            if due_s > loop.time():
                self._timer = loop.call_at(due_s, self.pump)
                return
            self._waiting.popleft()
            self._waiting_bytes -= len(data)
            self._transport.write(data)
        if self._waiting_bytes <= _HIGH_WATER_BYTES // 2:
            self._source.resume()
        if self._is_to_end and not self._waiting and self._transport is not None:
            self._transport.close()

    def write(self, data: bytes) -> None:
        """Write at once, behind all that waits."""
        if self._transport is not None:
            self._transport.write(b"".join([*(piece for _, piece in self._waiting), data]))
        self._waiting.clear()

    def flush_then(self, call: Callable[[], None]) -> None:
        """Call once the system has taken what was written, as far as it takes it at once."""
        asyncio.get_running_loop().call_soon(call)

    def end(self) -> None:
        """Close when all that waits is written."""
        self._is_to_end = True
        self.pump()

    def reset(self) -> None:
        """End the connection with a reset, which the peer sees as such."""
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def pause(self) -> None:
        """Read no more."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def _source(self) -> _Side:
        return self._link.sides[_other(self.way)]


def _other(way: Way) -> Way:
    return Way.TO_CLIENT if way is Way.TO_SERVER else Way.TO_SERVER
