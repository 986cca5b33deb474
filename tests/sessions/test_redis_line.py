"""Answers belong to their questions, whatever is cancelled, times out or fails in between."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.connection import Connection

from stompgate.ports.part import PartDown
from stompgate.sessions.redis_line import RedisLine
from tests.cancelled_at import CancelledAt
from tests.proxy import Proxy, Way
from tests.services import Services


def line_to(port: int, deadline_s: float = 10.0) -> RedisLine:
    return RedisLine(lambda: Connection(host="127.0.0.1", port=port, protocol=2, socket_timeout=None), deadline_s)


def echoes(name: str) -> list[tuple[str, str]]:
    return [("ECHO", f"{name}-{number}") for number in range(3)]


def answers(name: str) -> list[bytes]:
    return [f"{name}-{number}".encode() for number in range(3)]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("is_connected", [False, True])
async def test_a_cancelled_exchange_never_leaves_its_answer_to_the_next(
    services: Services, after: bool, is_connected: bool
) -> None:
    async with Proxy("127.0.0.1", services.redis.port) as proxy:
        proxy.delay_s = 0.002  # each answer is still under way when the next question could be asked
        for number in range(1, 100):
            line = line_to(proxy.port)
            if is_connected:
                assert await line.exchange(echoes("before")) == answers("before")
            cut = CancelledAt(line.exchange(echoes("cancelled")), number, after=after)
            try:
                await cut
            except asyncio.CancelledError:
                assert await line.exchange(echoes("next")) == answers("next")
                assert await line.exchange(echoes("last")) == answers("last")
                await line.close()
                continue
            await line.close()
            break
    assert number > (1 if is_connected else 4)  # every wait has had its turn, and then it ran to its end


async def test_those_who_ask_at_the_same_time_get_their_own_answers(services: Services) -> None:
    line = line_to(services.redis.port)
    names = [f"n{number}" for number in range(50)]
    tasks = [asyncio.create_task(line.exchange(echoes(name))) for name in names]
    await asyncio.sleep(0)
    for task in tasks[::7]:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    for name, answer in zip(names, found, strict=True):
        assert isinstance(answer, asyncio.CancelledError) or answer == answers(name)
    assert sum(isinstance(answer, asyncio.CancelledError) for answer in found) == len(tasks[::7])
    await line.close()


async def test_after_an_error_the_rest_of_its_answers_is_nobodys(services: Services) -> None:
    line = line_to(services.redis.port)
    with pytest.raises(PartDown, match="unknown command"):
        await line.exchange([("ECHO", "one"), ("NONSENSE",), ("ECHO", "two")])
    assert await line.exchange(echoes("next")) == answers("next")
    await line.close()


async def test_an_answer_that_comes_too_late_is_nobodys(services: Services) -> None:
    async with Proxy("127.0.0.1", services.redis.port) as proxy:
        line = line_to(proxy.port, deadline_s=0.2)
        assert await line.exchange(echoes("first")) == answers("first")
        proxy.held = frozenset({Way.TO_CLIENT})
        with pytest.raises(PartDown, match=r"within 0.2 s"):
            await line.exchange(echoes("late"))
        proxy.heal()
        assert await line.exchange(echoes("next")) == answers("next")
        await line.close()


async def test_a_connection_that_was_closed_meanwhile_costs_nothing(services: Services) -> None:
    async with Proxy("127.0.0.1", services.redis.port) as proxy:
        line = line_to(proxy.port)
        assert await line.exchange(echoes("first")) == answers("first")
        proxy.cut()
        assert await line.exchange(echoes("second")) == answers("second")
        assert proxy.connections == 2
        await proxy.refuse()
        with pytest.raises(PartDown):
            await line.exchange(echoes("third"))
        await line.close()
