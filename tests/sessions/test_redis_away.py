"""Redis killed, paused, cut off, loading, a replica: chat notices nothing, and what happened meanwhile is told afterwards."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog

from stompgate.ports.part import PartDown
from stompgate.sessions.redis import RedisSessions
from tests.proxy import BOTH_WAYS, Proxy
from tests.services import Service, start_redis
from tests.waiting import until

from .conftest import Make, View, session
from .test_redis import shown

ON_ONE = [session(f"s{number}", f"user-{number}", "one", number) for number in range(20)]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A Redis for the tests that hurt it. Each finds it running and empty."""
    with start_redis(tmp_path_factory.mktemp("redis")) as own:
        yield own


@pytest.fixture
def view(own: Service) -> Iterator[View]:
    own.start()
    view = View(own.url)
    view.redis.flushall()
    yield view
    view.close()


@pytest.fixture
async def presence(make: Make, own: Service, view: View) -> RedisSessions:
    presence = make("one", url=own.url, deadline_s=0.4, reconnect_limit_s=0.1)
    for each in ON_ONE:
        presence.opened(each)
    await shown(view, ON_ONE)
    return presence


def is_up(presence: RedisSessions) -> bool:
    (up,) = [figure.value for figure in presence.figures() if figure.name == "stompgate_sessions_up"]
    return up == 1


async def goes_on_without(presence: RedisSessions, reason: str) -> None:
    """It says why it is away, within the deadline; what happens here is taken at once."""

    async def says_why() -> bool:
        try:
            await presence.ping()
        except PartDown as error:
            return reason in str(error)
        return False

    await until(says_why, f"it is away: {reason}")
    await until(lambda: not is_up(presence), "the writer knows as well")
    presence.opened(session("new", "new", "one", 100))
    presence.closed("s0")
    assert presence.local_users() == [*(each.user for each in ON_ONE[1:]), "new"]


async def is_told_afterwards(presence: RedisSessions, view: View) -> None:
    await shown(view, [*ON_ONE[1:], session("new", "new", "one", 100)])
    await until(lambda: is_up(presence), "the writer has heard that it was told")
    await presence.ping()


async def cannot_be_read(presence: RedisSessions) -> None:
    """Reads say so, within the deadline."""
    async with asyncio.timeout(30):
        with pytest.raises(PartDown):
            await presence.sessions_of(["anna"])
        with pytest.raises(PartDown):
            await presence.users_by_server()


async def test_what_a_restarted_redis_has_lost_is_told_again(presence: RedisSessions, own: Service, view: View) -> None:
    own.kill()
    await goes_on_without(presence, "Connect")
    await cannot_be_read(presence)
    own.start()
    await is_told_afterwards(presence, view)


async def test_a_redis_that_was_restarted_unnoticed_is_told_all(presence: RedisSessions, own: Service, view: View) -> None:
    own.kill()
    own.start()
    await shown(view, ON_ONE)


async def test_a_paused_redis_is_told_when_it_goes_on(presence: RedisSessions, own: Service, view: View) -> None:
    own.pause()
    try:
        await goes_on_without(presence, "did not answer within 0.4 s")
        await cannot_be_read(presence)
    finally:
        own.resume()
    await is_told_afterwards(presence, view)


async def test_a_server_opens_and_closes_while_redis_is_away(make: Make, own: Service, view: View) -> None:
    own.kill()
    presence = make("one", url=own.url, starts=False, reconnect_limit_s=0.1)
    await presence.open()
    presence.start()
    for each in ON_ONE:
        presence.opened(each)
    await goes_on_without(presence, "Connect")
    never = make("two", url=own.url)
    never.opened(session("x", "x", "two"))
    await never.close()
    own.start()
    await is_told_afterwards(presence, view)


async def test_a_redis_behind_a_network_that_swallows_everything(make: Make, own: Service, view: View) -> None:
    async with Proxy("127.0.0.1", own.port) as proxy:
        presence = make("one", url=f"redis://127.0.0.1:{proxy.port}/0", deadline_s=1.0, reconnect_limit_s=0.1)
        for each in ON_ONE:
            presence.opened(each)
        await shown(view, ON_ONE)
        proxy.swallowed = BOTH_WAYS
        await goes_on_without(presence, "did not answer within 1 s")
        await cannot_be_read(presence)
        proxy.heal()
        await is_told_afterwards(presence, view)
        for _ in range(10):
            proxy.cut()
            exchanges = presence._write_line.exchanges
            await until(lambda told=exchanges: presence._write_line.exchanges > told, "it has connected again")
            assert is_up(presence)
        await is_told_afterwards(presence, view)
        await presence.close()
        assert view.keys() == set()


async def test_a_redis_that_became_a_replica_is_away_until_it_is_none(presence: RedisSessions, view: View) -> None:
    view.redis.replicaof("127.0.0.1", "1")
    try:
        await goes_on_without(presence, "read only replica")
    finally:
        view.redis.replicaof("NO", "ONE")
    await is_told_afterwards(presence, view)


async def test_a_redis_that_loads_its_data_is_away_until_it_has(make: Make, own: Service, view: View, tmp_path: Path) -> None:
    with start_redis(tmp_path) as loads:
        other = redis.Redis(port=loads.port)
        for number in range(200):
            view.redis.set(f"ballast-{number}", secrets.token_bytes(2000))  # it is compressed on its way
        view.redis.config_set("repl-diskless-sync-delay", 0)
        other.config_set("key-load-delay", 20_000)  # µs a key
        other.config_set("loading-process-events-interval-bytes", 1024)
        presence = make("one", url=loads.url, deadline_s=0.4, reconnect_limit_s=0.1)
        for each in ON_ONE:
            presence.opened(each)
        await until(lambda: other.exists("user:session:user-19") == 1, "it is told")
        other.replicaof("127.0.0.1", str(own.port))
        await goes_on_without(presence, "loading")
        other.config_set("key-load-delay", 0)
        await until(lambda: other.info("replication")["master_link_status"] == "up", "it is loaded")
        other.replicaof("NO", "ONE")
        other.close()
        loaded = View(loads.url)
        await until(lambda: loaded.get("user:session:new") is not None, "it is told")
        assert loaded.get("user:session:user-0") is None
        await presence.close()
        loaded.close()


async def test_a_full_redis_is_away_until_there_is_room(presence: RedisSessions, view: View) -> None:
    view.redis.config_set("maxmemory", 1)
    try:
        await goes_on_without(presence, "maxmemory")
    finally:
        view.redis.config_set("maxmemory", 0)
    await is_told_afterwards(presence, view)


async def test_a_long_outage_is_two_lines_in_the_log_and_a_bounded_account(make: Make, own: Service, view: View) -> None:
    with structlog.testing.capture_logs() as lines:
        presence = make("one", url=own.url, reconnect_limit_s=0.02)
        for each in ON_ONE:
            presence.opened(each)
        await shown(view, ON_ONE)
        own.kill()
        await goes_on_without(presence, "Connect")
        for number in range(10_000):
            presence.opened(session(f"x{number}", f"x{number}", "one"))
            presence.closed(f"x{number}")
        await until(lambda: presence._failures > 10, "it tries again and again")
        assert presence._account.due <= len(ON_ONE) + 1
        own.start()
        await is_told_afterwards(presence, view)
    assert [line["event"] for line in lines] == ["presence is away", "presence is back"]


async def test_the_keys_expire_by_themselves_if_nobody_is_left(presence: RedisSessions, view: View) -> None:
    lasting = {key for key in view.redis.scan_iter("*") if view.redis.ttl(key) == -1}
    assert lasting == {"server:users:one", "stompgate:servers", "stompgate:told:one"}  # small, and swept by any server
