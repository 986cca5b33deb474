"""What stands behind the servers goes away, in every way there is, and comes back: what they promise to do without it.

Each test breaks one part for both servers, looks at what is to go on, heals it, and waits: nobody restarts a server.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
import pytest_asyncio

from stompgate.model.causes import Cause
from stompgate.stomp.frames import Frame
from tests.proxy import BOTH_WAYS, NO_WAY, Proxy, Way
from tests.torture.cluster import Cluster, owed
from tests.wire_client import connected, make_room

from .pair import all_ready, answers, chat, eventually, get, health, pair, watched, watchers, ws_url

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECEIPTED = ("RECEIPT", "")
RELAY, STORE, SESSIONS = "relay", "store", "sessions"


@dataclass(frozen=True)
class Outage:
    """A way to be away."""

    begin: Callable[[Cluster, str], Awaitable[object]]
    end: Callable[[Cluster, str], Awaitable[object]]


async def _links(cluster: Cluster, part: str, turn: Callable[[Proxy], object]) -> None:
    for member in cluster.members:
        turned = turn(member.links[part])
        if isinstance(turned, Awaitable):
            await turned


def _by_process(begin: str, end: str) -> Outage:
    return Outage(
        lambda cluster, part: asyncio.to_thread(getattr(cluster.services[part], begin)),
        lambda cluster, part: asyncio.to_thread(getattr(cluster.services[part], end)),
    )


OUTAGES = {
    "killed": _by_process("kill", "start"),
    "stopped": _by_process("stop", "start"),
    "paused": _by_process("pause", "resume"),
    "refused": Outage(
        lambda cluster, part: _links(cluster, part, lambda link: link.refuse()),
        lambda cluster, part: _links(cluster, part, lambda link: link.allow()),
    ),
    "held up": Outage(
        lambda cluster, part: _links(cluster, part, lambda link: setattr(link, "held", BOTH_WAYS)),
        lambda cluster, part: _links(cluster, part, lambda link: setattr(link, "held", NO_WAY)),
    ),
    "swallowed": Outage(
        lambda cluster, part: _links(cluster, part, lambda link: setattr(link, "swallowed", BOTH_WAYS)),
        lambda cluster, part: _links(cluster, part, lambda link: setattr(link, "swallowed", NO_WAY)),
    ),
    "without answers": Outage(
        lambda cluster, part: _links(cluster, part, lambda link: setattr(link, "swallowed", frozenset({Way.TO_CLIENT}))),
        lambda cluster, part: _links(cluster, part, lambda link: setattr(link, "swallowed", NO_WAY)),
    ),
}
every_outage = pytest.mark.parametrize("outage", list(OUTAGES))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with pair(tmp_path_factory.mktemp("outages")) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(servers: Cluster) -> AsyncIterator[Cluster]:
    """Ready before each test and after it, in the same processes."""
    await all_ready(servers)
    pids = [member.daemon.pid for member in servers.members]
    yield servers
    await all_ready(servers)
    assert [member.daemon.pid for member in servers.members] == pids
    assert all(member.daemon.is_running for member in servers.members)


@asynccontextmanager
async def away(cluster: Cluster, part: str, outage: str) -> AsyncIterator[None]:
    """A part is away inside the block, and back behind it, whatever happens in it."""
    await OUTAGES[outage].begin(cluster, part)
    try:
        yield
    finally:
        await OUTAGES[outage].end(cluster, part)


async def says(cluster: Cluster, part: str, code: int, status: str) -> None:
    """Wait until every server's health page names the part as the one that is down, with a reason."""

    async def all_say_so() -> bool:
        said = [await health(member) for member in cluster.members]
        return all(
            (found_code, found_status) == (code, status)
            and parts[part]["status"] == "down"
            and parts[part].get("reason", "") != ""
            and all(other["status"] == "up" for name, other in parts.items() if name != part)
            for found_code, found_status, parts in said
        )

    await eventually(all_say_so, f"every server says {status}, because of {part} alone")


# Kafka


@every_outage
async def test_without_kafka_chat_goes_on_and_reaches_the_other_server_late_in_order_once(
    cluster: Cluster, outage: str
) -> None:
    first, second = cluster.members
    room = await make_room(first.url)
    async with watchers(cluster, room) as (here, there):
        async with away(cluster, RELAY, outage):
            assert await answers(first, room, "1", "2") == [RECEIPTED] * 2
            local = [await here.expect("MESSAGE") for _ in range(2)]
            assert [message.headers["destination"] for message in local] == [f"/sub/chat/room/{room}"] * 2
            await says(cluster, RELAY, 200, "degraded")
            assert await answers(second, room, "3") == [RECEIPTED]
        await all_ready(cluster)
        assert await answers(first, room, "4") == [RECEIPTED]
        assert await watched(here, 2) == [(3, "3"), (4, "4")]
        assert await watched(there, 4) == [(1, "1"), (2, "2"), (3, "3"), (4, "4")]

    async def nothing_is_owed() -> bool:
        return await asyncio.to_thread(owed, cluster.store) == 0

    await eventually(nothing_is_owed, "the outbox is empty")


# The database


@every_outage
async def test_without_the_database_messages_are_refused_by_name_and_all_else_goes_on(cluster: Cluster, outage: str) -> None:
    first, second = cluster.members
    room = await make_room(first.url)
    async with watchers(cluster, room) as (here, there):
        await there.subscribe("/topic/elsewhere", "elsewhere")
        assert await answers(first, room, "before") == [RECEIPTED]
        assert [(await client.expect("MESSAGE")).headers["subscription"] for client in (here, there)] == ["room"] * 2
        async with away(cluster, STORE, outage):
            both = await asyncio.gather(answers(first, room, "1"), answers(second, room, "2"))
            refused = [answer for answers_of_one in both for answer in answers_of_one]
            assert {command for command, _ in refused} == {"ERROR"}
            assert {cause for _, cause in refused} <= {Cause.STORE_UNAVAILABLE.code, Cause.OUTCOME_UNKNOWN.code}
            await says(cluster, STORE, 503, "down")
            async with connected(ws_url(first), "buyer") as client:
                await client.send("/topic/elsewhere", "all is well")
            assert (await there.expect("MESSAGE")).body == b"all is well"
        await all_ready(cluster)
        # What was refused may be sent again by the same ids, wherever; what was stored in spite of it is found so.
        assert await answers(second, room, "1", "2", "3") == [RECEIPTED] * 3
        seen = [await watched(client, 3) for client in (here, there)]
    assert seen[0] == seen[1]
    assert [seq for seq, _ in seen[0]] == [2, 3, 4]
    assert sorted(content for _, content in seen[0]) == ["1", "2", "3"]


# Redis


@every_outage
async def test_without_redis_chat_goes_on_and_presence_is_unknown_until_it_is_written_again(
    cluster: Cluster, outage: str
) -> None:
    first, second = cluster.members
    room = await make_room(first.url, "early", "late")
    path = f"/sub/chat/room/{room}"
    async with connected(ws_url(first), "early") as early:
        await early.subscribe(path)
        async with away(cluster, SESSIONS, outage), connected(ws_url(second), "late") as late:
            await late.subscribe(path)
            await late.ask(chat(room, "1"))
            await early.expect("MESSAGE")
            await says(cluster, SESSIONS, 200, "degraded")
            for member in cluster.members:
                _, seen = await get(member, "/chat/debug/sessions")
                assert seen["presence"] == "unknown"
            await OUTAGES[outage].end(cluster, SESSIONS)
            await present(cluster, {"early": "server-1", "late": "server-2"})
        await present(cluster, {"early": "server-1"})


async def test_after_a_flush_of_redis_everyone_is_there_again(cluster: Cluster) -> None:
    first, second = cluster.members
    async with connected(ws_url(first), "one"), connected(ws_url(second), "other"):
        await present(cluster, {"one": "server-1", "other": "server-2"})
        reader, writer = await asyncio.open_connection("127.0.0.1", cluster.services[SESSIONS].port)
        writer.write(b"FLUSHALL\r\n")
        assert await reader.readline() == b"+OK\r\n"
        writer.close()
        await writer.wait_closed()
        await present(cluster, {"one": "server-1", "other": "server-2"})


async def present(cluster: Cluster, expected: dict[str, str]) -> None:
    """Wait until every server sees just these users, each at their server, by both ways of asking."""

    async def are_seen() -> bool:
        for member in cluster.members:
            _, seen = await get(member, "/chat/debug/sessions")
            if {user: server for server, users in seen["serverUsers"].items() for user in users} != expected:
                return False
            for user, server in expected.items():
                _, session = await get(member, f"/chat/debug/sessions/{user}")
                if session.get("sessionInfo", {}).get("serverId") != server:
                    return False
        return True

    await eventually(are_seen, f"every server sees {expected}")


# What is shorter than anyone notices


CUTS: dict[str, list[Callable[[Proxy], None]]] = {
    STORE: [
        lambda link: link.cut_at(Way.TO_SERVER, b"INSERT INTO sg_message", lets_pass=False),
        lambda link: link.cut_at(Way.TO_SERVER, b"INSERT INTO sg_message", lets_pass=True),
    ],
    RELAY: [partial(Proxy.cut_after_bytes, way=way, number=300) for way in Way],
    SESSIONS: [partial(Proxy.cut_after_bytes, way=way, number=10) for way in Way],
}
"""Of the database at the worst moments: the message does not arrive, or its answer does not. Else somewhere."""


@pytest.mark.parametrize("part", CUTS)
async def test_a_link_that_is_cut_or_slow_costs_nothing(cluster: Cluster, part: str) -> None:
    first, second = cluster.members
    room = await make_room(first.url)
    async with watchers(cluster, room) as (here, there):
        await _links(cluster, part, lambda link: link.cut())
        assert await answers(first, room, "1") == [RECEIPTED]
        for number, cut in enumerate(CUTS[part], 2):
            await _links(cluster, part, cut)
            assert await answers(second, room, str(number)) == [RECEIPTED]
            await _links(cluster, part, lambda link: link.heal())
        await _links(cluster, part, lambda link: setattr(link, "delay_s", 0.1))
        assert await answers(first, room, "4") == [RECEIPTED]
        await _links(cluster, part, lambda link: link.heal())
        expected = [(1, "1"), (2, "2"), (3, "3"), (4, "4")]
        assert await watched(here, 4) == expected
        assert await watched(there, 4) == expected


async def test_a_server_that_was_paused_goes_on_where_it_was(cluster: Cluster) -> None:
    first, second = cluster.members
    room = await make_room(first.url)
    async with watchers(cluster, room) as (here, there):
        paused = asyncio.create_task(first.pause(2.0))
        assert await answers(second, room, "1", "2") == [RECEIPTED] * 2
        assert await watched(there, 2) == [(1, "1"), (2, "2")]
        await paused
        assert await watched(here, 2) == [(1, "1"), (2, "2")]
        async with connected(ws_url(first), "buyer") as client:
            await client.ask(Frame("SEND", {"destination": f"/pub/room/{room}/message"}, b'{"content":"3"}'))


async def test_a_server_starts_without_kafka_and_redis_and_takes_them_up_when_they_come(servers: Cluster) -> None:
    first, second = servers.members
    room = await make_room(first.url)
    second.daemon.signal(signal.SIGTERM)
    assert (await asyncio.to_thread(second.daemon.wait)).code == 0
    async with away(servers, RELAY, "refused"), away(servers, SESSIONS, "refused"):
        await asyncio.to_thread(second.daemon.start)
        code, status, parts = await health(second)
        assert (code, status) == (200, "degraded")
        assert [parts[part]["status"] for part in (STORE, RELAY, SESSIONS)] == ["up", "down", "down"]
        assert await answers(second, room, "1") == [RECEIPTED]
    await all_ready(servers)
    async with watchers(servers, room) as (here, there):
        assert await answers(first, room, "2") == [RECEIPTED]
        assert await watched(here, 1) == await watched(there, 1) == [(2, "2")]
