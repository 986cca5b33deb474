"""Requests that take messages come and go: what is said while one follows another is given once, in order, and to all."""

from __future__ import annotations

import asyncio

from stompgate.gateway.link import Link

from .conftest import Serve
from .wire import new_session


async def test_who_waits_for_a_receiver_is_served_by_the_next_one_though_it_finds_something_to_take(serve: Serve) -> None:
    served = await serve()
    web, path = served.web, new_session()
    await web.post(f"{path}/xhr")
    link = served.server.services["/echo"].here[0].link
    link.outbox.offer(b'"of others"')
    following = [asyncio.create_task(give_when_drained(link, text)) for text in (b'"a"', b'"b"')]
    await asyncio.sleep(0)
    following.append(asyncio.create_task(give_when_drained(link, b'"of one that has left"')))
    await asyncio.sleep(0)
    following.pop().cancel()
    assert await web.post(f"{path}/xhr") == 'a["of others","a","b"]\n'
    await asyncio.gather(*following)


async def give_when_drained(link: Link, message: bytes) -> None:
    while (waiting := link.outbox.drained()) is not None:
        await waiting
    link.outbox.offer(message)
