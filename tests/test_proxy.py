"""The tests' own proxy does what its knobs say: a test that relies on a cut must be able to rely on the cut."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress

import pytest

from .proxy import BOTH_WAYS, NO_WAY, Proxy, Way

DEADLINE_S = 30.0
SHORT_S = 0.1


class Echo:
    """A server that answers every byte with the same."""

    def __init__(self) -> None:
        self.came = b""
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                self.came += data
                writer.write(data)
        writer.close()

    def end(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Proxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield echo, proxy
    echo.end()
    server.close()


class Caller:
    """A client of the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def dial(cls, proxy: Proxy) -> Caller:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def ask(self, data: bytes) -> bytes:
        self.say(data)
        return await in_time(self._reader.readexactly(len(data)))

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT_S):
                await self._reader.readexactly(1)

    async def hears(self, number: int) -> bytes:
        return await in_time(self._reader.readexactly(number))

    async def is_reset(self) -> None:
        with pytest.raises(ConnectionResetError):
            await in_time(self._reader.readexactly(1))
        self.close()

    def close(self) -> None:
        self._writer.close()


async def in_time(wanted: Awaitable[bytes]) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        return await wanted


async def test_bytes_pass_unchanged_both_ways_and_are_counted(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    caller = await Caller.dial(proxy)
    data = bytes(range(256)) * 20_000
    assert await caller.ask(data) == data
    assert proxy.passed_bytes == dict.fromkeys(Way, len(data))
    assert proxy.connections == 1
    caller.close()


async def test_a_cut_resets_the_client(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    caller = await Caller.dial(proxy)
    await caller.ask(b"x")
    proxy.cut()
    await caller.is_reset()
    assert proxy.open_connections == 0
    again = await Caller.dial(proxy)
    assert await again.ask(b"y") == b"y"
    again.close()


async def test_a_refusing_port_refuses_and_opens_again(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await Caller.dial(proxy)
    await proxy.allow()
    caller = await Caller.dial(proxy)
    assert await caller.ask(b"x") == b"x"
    caller.close()


async def test_delayed_pieces_keep_their_order(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    caller = await Caller.dial(proxy)
    await caller.ask(b"x")
    proxy.delay_s = SHORT_S * 2
    caller.say(b"late")
    await caller.hears_nothing()
    proxy.delay_s = 0.0
    caller.say(b"soon")
    assert await caller.hears(8) == b"latesoon"
    caller.close()


@pytest.mark.parametrize("way", list(Way))
async def test_held_bytes_arrive_when_the_hold_is_lifted(echo: tuple[Echo, Proxy], way: Way) -> None:
    _, proxy = echo
    caller = await Caller.dial(proxy)
    await caller.ask(b"x")
    proxy.held = frozenset({way})
    caller.say(b"held")
    await caller.hears_nothing()
    proxy.held = NO_WAY
    assert await caller.hears(4) == b"held"
    caller.close()


async def test_swallowed_bytes_never_arrive_and_their_connections_are_reset_afterwards(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    caller, silent = await Caller.dial(proxy), await Caller.dial(proxy)
    await caller.ask(b"x")
    await silent.ask(b"x")
    proxy.swallowed = frozenset({Way.TO_SERVER})
    caller.say(b"gone")
    await caller.hears_nothing()
    assert server.came == b"xx"
    proxy.swallowed = NO_WAY
    await caller.is_reset()
    assert await silent.ask(b"y") == b"y"
    silent.close()


async def test_a_black_hole_takes_new_connections_and_answers_nothing(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    proxy.swallowed = BOTH_WAYS
    caller = await Caller.dial(proxy)
    caller.say(b"gone")
    await caller.hears_nothing()
    assert server.came == b""
    proxy.heal()
    await caller.is_reset()


async def test_a_cut_at_a_text_comes_before_it_arrives_or_after(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    caller = await Caller.dial(proxy)
    await caller.ask(b"first")
    proxy.cut_at(Way.TO_SERVER, b"COMMIT", lets_pass=False)
    caller.say(b"COMMIT")
    await caller.is_reset()
    assert server.came == b"first"
    assert proxy.has_sprung
    again = await Caller.dial(proxy)
    proxy.cut_at(Way.TO_SERVER, b"COMMIT", lets_pass=True)
    await again.ask(b"x")
    again.say(b"COMMIT")
    await again.is_reset()
    async with asyncio.timeout(DEADLINE_S):
        while server.came != b"firstxCOMMIT":  # noqa: ASYNC110 (another's buffer)
            await asyncio.sleep(0.01)


async def test_a_cut_comes_at_a_piece_or_after_so_many_bytes(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    caller = await Caller.dial(proxy)
    proxy.cut_at_piece(Way.TO_CLIENT, 3)
    assert await caller.ask(b"1") == b"1"
    assert await caller.ask(b"2") == b"2"
    caller.say(b"3")
    await caller.is_reset()
    again = await Caller.dial(proxy)
    proxy.cut_after_bytes(Way.TO_SERVER, 10)
    assert await again.ask(b"12345") == b"12345"
    again.say(b"67890")
    await again.is_reset()
    assert proxy.cuts == 2


async def test_a_server_that_is_gone_is_a_reset(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    proxy.target = ("127.0.0.1", 1)
    caller = await Caller.dial(proxy)
    await caller.is_reset()


@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_comes_as_the_port_is_closed_is_not_left_open(echo: tuple[Echo, Proxy], turns: int) -> None:
    _, proxy = echo
    with socket.socket() as caller:
        caller.setblocking(False)
        with suppress(BlockingIOError):
            caller.connect(("127.0.0.1", proxy.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        await proxy.refuse()
        await asyncio.sleep(0)
    gc.collect()  # what was left open complains here, which fails the test
    assert proxy.open_connections == 0
