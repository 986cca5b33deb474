"""Tests of a client against real servers. ``ChatClient`` stands where yours would."""

import asyncio

from stompgate.client import ChatClient, Joined, Options
from stompgate.testing import running_server

HASTY = Options(pause_first_s=0.1, pause_most_s=0.2)  # in a test nobody else comes back


async def talk_over(trouble, server):
    """What one sees who is told something before the trouble and something after it."""
    room = server.make_room(buyer="ann", seller="bob")
    async with (
        ChatClient(server.ws_url, user="ann", options=HASTY) as ann,
        ChatClient(server.ws_url, user="bob", options=HASTY) as bob,
        bob.follow(room) as events,
    ):
        await anext(events)  # he is in the room
        await ann.send(room, "before")
        seen = [(await anext(events)).json()["content"]]
        await asyncio.to_thread(trouble)  # what a server is told to do blocks
        await ann.send(room, "after")
        while "after" not in seen:
            event = await anext(events)
            seen.append(event.recovered if isinstance(event, Joined) else event.json()["content"])
    return seen


def test_nothing_is_missed_over_a_crash(stompgate_servers):
    server = stompgate_servers({"log": {"level": "debug"}})  # one of its own, with settings of its own

    def crash():
        server.kill()
        server.start_again()

    assert asyncio.run(talk_over(crash, server)) == ["before", True, "after"]


def test_a_quiet_day(stompgate_server):  # the server of the whole run
    assert asyncio.run(talk_over(lambda: None, stompgate_server)) == ["before", "after"]


def test_without_fixtures():
    with running_server() as server:
        assert asyncio.run(talk_over(lambda: None, server)) == ["before", "after"]
