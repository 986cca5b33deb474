"""Presence in a real Redis: the keys that others read, several servers, leases, sweeps, and what it costs."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from stompgate.chat.session_wire import SessionTexts
from stompgate.model.sessions import Session
from stompgate.sessions.redis import RedisSessions
from stompgate.sessions.redis_line import Command
from tests.fakes import FakeClock
from tests.proxy import Proxy
from tests.waiting import until

from .conftest import BORN_US, Make, View, crash, session

TEXTS = SessionTexts(None)


def expected(living: Iterable[Session]) -> dict[str, object]:
    """The keys of the contract when these live; of one user's, the last one that began is the newest."""
    found: dict[str, object] = {}
    for each in sorted(living, key=lambda one: one.connected_at_us):
        found[f"user:session:{each.user}"] = TEXTS.write(each).decode()
        found[f"session:user:{each.id}"] = each.user
        users = found.setdefault(f"server:users:{each.server_id}", set())
        assert isinstance(users, set)
        users.add(each.user)
    return found


async def shown(view: View, living: Iterable[Session]) -> None:
    """Wait until exactly these are shown."""
    wanted = expected(living)
    try:
        await until(lambda: view.of_the_contract() == wanted, "what is told is shown")
    except AssertionError:
        assert view.of_the_contract() == wanted
        raise


async def step(presence: RedisSessions, clock: FakeClock, seconds: float = 1.0) -> None:
    """Let a second pass for its writer, and wait until it has told what there was."""
    told = presence._write_line.exchanges
    clock.advance(seconds)
    await until(lambda: presence._write_line.exchanges > told and not presence._account.due, "it is told")


# The keys


async def test_keys_and_texts_are_those_of_the_contract(make: Make, view: View) -> None:
    one = Session("s-1", "김@x.kr", "chat-server-1", "localhost", 8070, BORN_US + 49_069, BORN_US)
    presence = make("chat-server-1")
    presence.opened(one)
    await shown(view, [one])
    text = view.get("user:session:김@x.kr")
    assert text is not None
    found = json.loads(text)
    assert list(found) == [
        *("userId", "sessionId", "serverId", "serverHost", "serverPort", "serverUrl", "connectTime", "lastActiveTime")
    ]
    assert {name: found[name] for name in list(found)[:6]} == {
        "userId": "김@x.kr",
        "sessionId": "s-1",
        "serverId": "chat-server-1",
        "serverHost": "localhost",
        "serverPort": "8070",
        "serverUrl": "ws://localhost:8070/ws-stomp",
    }
    for key in ("user:session:김@x.kr", "session:user:s-1"):
        assert 1700 < int(str(view.redis.ttl(view.prefix + key))) <= 1800
    assert view.redis.ttl(f"{view.prefix}server:users:chat-server-1") == -1
    assert view.keys() - set(view.of_the_contract()) == {
        "stompgate:lease:chat-server-1",
        "stompgate:servers",
        "stompgate:told:chat-server-1",
        "stompgate:user:김@x.kr",
    }


@pytest.mark.parametrize("zone", [None, ZoneInfo("Asia/Seoul"), ZoneInfo("America/St_Johns")])
def test_a_text_is_read_as_it_was_written(zone: ZoneInfo | None) -> None:
    texts = SessionTexts(zone)
    one = Session("s", "u", "s-1", "::1", 1, BORN_US, BORN_US + 10)
    assert texts.read(texts.write(one)) == one


def test_a_text_of_an_hour_that_comes_twice_is_written_as_it_was_read() -> None:
    texts = SessionTexts(ZoneInfo("Europe/Berlin"))
    for began_us in (1_698_537_600_000_000, 1_698_541_200_000_000):  # 29 October 2023, both times 02:00
        text = texts.write(Session("s", "u", "s-1", "h", 1, began_us, began_us))
        read = texts.read(text)
        assert read is not None
        assert b"T02:00:00" in text
        assert texts.write(read) == text


def test_nanoseconds_of_other_programs_are_read() -> None:
    text = TEXTS.write(session("s", "u", "s-1")).replace(b'"connectTime":"', b'"connectTime":"2026-11-22T17:34:45.049069104"')
    text = text.split(b'104"')[0] + b'104","lastActiveTime":"2026-11-22T17:34:45"}'
    read = TEXTS.read(text)
    assert read is not None
    assert read.connected_at_us % 1_000_000 == 49_069


@pytest.mark.parametrize("text", [b"", b"[]", b"1", b"{}", b'"x"', b'{"sessionId":1}', b"\xff"])
async def test_what_is_no_session_is_nobodys(make: Make, view: View, text: bytes) -> None:
    view.redis.set(f"{view.prefix}user:session:anna", text)
    assert await make("one").sessions_of(["anna"]) == {}


async def test_a_clock_set_back_does_not_make_the_newest_session_an_older_one(make: Make, view: View) -> None:
    presence = make("one")
    presence.opened(session("new", "anna", "one", 5))
    presence.opened(session("newer", "anna", "one", -5))
    await until(lambda: '"newer"' in (view.get("user:session:anna") or ""), "the one that was opened last is shown")


# Several servers


async def test_the_newest_session_on_any_server_stands_for_a_user(make: Make, view: View) -> None:
    one, two = make("one"), make("two")
    old, new, newest = session("a", "anna", "one", 1), session("b", "anna", "two", 2), session("c", "anna", "one", 3)
    for presence, each in ((one, old), (two, new), (one, newest)):
        presence.opened(each)
    await shown(view, [old, new, newest])
    assert await two.sessions_of(["anna"]) == {"anna": newest}
    assert await one.users_by_server() == {"one": ["anna"], "two": ["anna"]}
    one.closed("c")
    await shown(view, [old, new])
    two.closed("b")
    await shown(view, [old])
    one.closed("a")
    await shown(view, [])


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_servers_do_in_the_same_second_the_end_is_right(make: Make, view: View, seed: int) -> None:
    chance = random.Random(seed)
    servers = {name: make(name, tell_every_s=0.001, slice_sessions=3) for name in ("one", "two", "three")}
    living: dict[str, Session] = {}
    for number in range(600):
        if living and chance.random() < 0.48:
            gone = living.pop(chance.choice(list(living)))
            servers[gone.server_id].closed(gone.id)
        else:
            begun = session(f"s{number}", chance.choice("abcd"), chance.choice(list(servers)), number)
            living[begun.id] = begun
            servers[begun.server_id].opened(begun)
        if chance.random() < 0.3:
            exchanges = servers["one"]._write_line.exchanges
            await until(lambda told=exchanges: servers["one"]._write_line.exchanges > told, "time passes")
    await shown(view, living.values())
    for gone in living.values():
        servers[gone.server_id].closed(gone.id)
    await shown(view, [])


async def test_a_newer_session_on_a_server_of_another_program_is_left_alone(make: Make, view: View) -> None:
    presence = make("one")
    key = f"{view.prefix}user:session:anna"
    ours, theirs = session("a", "anna", "one", 1_000_000), session("java", "anna", "old-server", 2_000_000)
    presence.opened(ours)
    await shown(view, [ours])
    view.redis.set(key, TEXTS.write(theirs))
    presence.opened(session("b", "anna", "one", 1_500_000))
    await until(lambda: view.get("session:user:b") == "anna", "the second is told")
    assert await presence.sessions_of(["anna"]) == {"anna": theirs}
    presence.closed("a")
    presence.closed("b")
    await until(lambda: view.get("session:user:b") is None, "both are gone")
    assert await presence.sessions_of(["anna"]) == {"anna": theirs}
    newest = session("c", "anna", "one", 3_000_000)
    presence.opened(newest)
    await until(lambda: view.get("user:session:anna") == TEXTS.write(newest).decode(), "ours is newer than theirs")


# Lives and leases


async def test_a_server_that_ends_takes_away_what_it_told(make: Make, view: View) -> None:
    presence, other = make("one", slice_sessions=4), make("two")
    stays = session("b", "anna", "two")
    other.opened(stays)
    for number in range(10):
        presence.opened(session(f"s{number}", "anna" if number % 2 else f"user-{number}", "one", number))
    await until(lambda: view.get("session:user:s9") is not None and view.get("session:user:b") is not None, "all are told")
    await presence.close()
    assert view.of_the_contract() == expected([stays])
    await other.close()
    assert view.keys() == set()


async def test_nothing_is_written_before_the_start(make: Make, view: View) -> None:
    presence = make("one", starts=False)
    await presence.open()
    await presence.ping()
    assert await presence.users_by_server() == {}
    await presence.close()
    assert view.keys() == set()


async def test_a_killed_servers_users_vanish_with_its_lease(make: Make, view: View) -> None:
    stays = [session("a", "anna", "one", 1), session("b", "bela", "one", 2)]
    one, dead = make("one", lease_s=3.0, slice_sessions=5), make("dead", lease_s=3.0)
    also = make("two", lease_s=3.0)
    gone = [session(f"d{number}", "anna" if number < 3 else f"user-{number}", "dead", 10 + number) for number in range(20)]
    for each in stays:
        one.opened(each)
    for each in gone:
        dead.opened(each)
    await shown(view, [*stays, *gone])
    await crash(dead)
    assert int(str(view.redis.pttl(f"{view.prefix}stompgate:lease:dead"))) <= 3000
    await shown(view, stays)
    assert view.redis.exists(f"{view.prefix}stompgate:lease:dead") == 0  # no sooner
    await until(lambda: view.keys("stompgate:*dead*") == set(), "nothing of it is left")
    await until(lambda: one._swept + also._swept == 1, "one of the others says that it was swept")
    await until(lambda: not one._dead and not also._dead, "nobody has anything left to sweep")
    assert one._swept + also._swept == 1


async def test_a_lease_that_ends_amid_a_pipeline_ends_nothing_else(
    make: Make, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, dead = make("one"), make("dead")
    dead.opened(session("d", "anna", "dead", 1))
    await shown(view, [session("d", "anna", "dead", 1)])
    await crash(dead)
    exchange = one._write_line.exchange

    async def ends_amid(commands: Sequence[Command]) -> list[Any]:
        answers = await exchange(commands[:1])
        view.redis.delete(f"{view.prefix}stompgate:lease:dead")
        return [*answers, *(await exchange(commands[1:]) if commands[1:] else ())]

    one._dead = ["dead"]
    monkeypatch.setattr(one._write_line, "exchange", ends_amid)
    await until(lambda: one._swept == 1, "it was swept")
    one.opened(session("a", "bela", "one", 2))
    await shown(view, [session("a", "bela", "one", 2)])


async def test_a_server_that_was_only_paused_is_there_again_when_it_goes_on(make: Make, view: View) -> None:
    clock = FakeClock()
    paused, awake = make("paused", clock=clock, lease_s=2.0), make("awake", lease_s=2.0)
    here = session("p", "anna", "paused", 1)
    paused.opened(here)
    await shown(view, [here])
    await shown(view, [])  # its clock stands still, so it renews nothing
    came = session("q", "bela", "paused", 2)
    paused.opened(came)
    clock.advance(1.0)
    await shown(view, [here, came])
    assert {server: set(users) for server, users in (await awake.users_by_server()).items()} == {"paused": {"anna", "bela"}}


async def test_a_server_that_starts_again_clears_its_ghosts_at_once(make: Make, view: View) -> None:
    earlier = make("one", slice_sessions=3)
    ghosts = [session(f"g{number}", f"user-{number}", "one", number) for number in range(10)]
    for each in ghosts:
        earlier.opened(each)
    await shown(view, ghosts)
    view.redis.sadd(f"{view.prefix}server:users:one", "left by another program of that name")
    await crash(earlier)
    later = make("one", slice_sessions=3)
    await until(lambda: view.of_the_contract() == {}, "the ghosts are gone", deadline_s=10.0)  # the lease lasts 15 s
    back = session("back", "user-1", "one", 20)
    later.opened(back)
    await shown(view, [back])


async def test_an_earlier_life_that_goes_on_touches_nothing(make: Make, view: View) -> None:
    clock = FakeClock()
    earlier = make("one", clock=clock)
    earlier.opened(session("ghost", "anna", "one"))
    await until(lambda: view.get("session:user:ghost") is not None, "it is told")
    later = make("one")
    here = session("here", "bela", "one", 5)
    later.opened(here)
    await shown(view, [here])
    before = later._write_line.exchanges
    earlier.opened(session("ghost 2", "cleo", "one"))
    clock.advance(1.0)
    await until(lambda: "later process" in earlier._down, "it finds out")
    await earlier.close()
    await until(lambda: later._write_line.exchanges > before + 3, "the later one goes on")
    assert view.of_the_contract() == expected([here])
    assert later._down == ""


async def test_what_was_given_up_changes_nothing_when_it_arrives_late(make: Make, url: str, view: View) -> None:
    came = session("came", "bela", "one", 1)
    parts = urlsplit(url)
    async with Proxy("127.0.0.1", parts.port or 0) as proxy:
        by_way = parts._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
        presence = make("one", url=by_way, deadline_s=0.2, reconnect_limit_s=0.1)
        await until(lambda: presence._is_claimed, "it has begun")
        proxy.delay_s = 0.8
        presence.opened(session("gone", "anna", "one"))
        await until(lambda: presence._failures > 0, "it has given up telling of it")
        proxy.delay_s = 0.0
        presence.closed("gone")
        presence.opened(came)
        await shown(view, [came])
        await until(lambda: proxy.open_connections == 1, "what was given up has arrived")
        assert view.of_the_contract() == expected([came])
        await presence.close()


# Forgotten, and refreshed


async def test_everything_is_told_again_after_flushall(make: Make, view: View) -> None:
    one, two = make("one"), make("two")
    living = [session(f"s{number}", f"user-{number % 7}", "one" if number % 2 else "two", number) for number in range(40)]
    for each in living:
        (one if each.server_id == "one" else two).opened(each)
    await shown(view, living)
    for key in view.redis.scan_iter(f"{view.prefix}*"):  # FLUSHALL for the part of it that is this test's
        view.redis.delete(key)
    await shown(view, living)
    one.closed(living[1].id)
    await shown(view, living[:1] + living[2:])


async def test_a_redis_that_went_back_is_told_all_again(make: Make, view: View) -> None:
    """As one does that is restored from a file, or whose replica took over and had not heard the last of it."""
    one, two = make("one"), make("two")
    stays, gone, came = session("stays", "anna", "two"), session("gone", "bela", "one", 1), session("came", "cleo", "one", 2)
    two.opened(stays)
    one.opened(gone)
    await shown(view, [stays, gone])
    before = view.saved()
    one.closed("gone")
    one.opened(came)
    await shown(view, [stays, came])
    view.put_back(before)
    await shown(view, [stays, came])


async def test_what_others_delete_or_overwrite_is_written_again_by_the_refresh(make: Make, view: View) -> None:
    clock = FakeClock()
    presence = make("one", clock=clock, tell_every_s=1.0, refresh_every_s=20.0)
    living = [session(f"s{number}", f"user-{number}", "one", number) for number in range(50)]
    for each in living:
        presence.opened(each)
    await shown(view, living)
    for pattern in ("session:user:*", "user:session:*"):
        for key in view.keys(pattern):
            view.redis.delete(view.prefix + key)
    for _ in range(30):  # half of it passes before the turns begin
        await step(presence, clock)
    assert view.of_the_contract() == expected(living)


async def test_a_thousand_sessions_cost_one_pipeline_a_second(make: Make, view: View) -> None:
    clock = FakeClock()
    presence = make("one", clock=clock, tell_every_s=1.0, slice_sessions=1000)
    await until(lambda: presence._is_claimed, "it has begun")
    await until(lambda: len(clock._timers) > 0, "it waits for the second to pass")
    for number in range(1000):
        presence.opened(session(f"s{number}", f"user-{number}", "one", number))
    for of_this_second, changes in ((2, 100), (2, 0), (1, 0)):
        evals, exchanges = view.calls("eval"), presence._write_line.exchanges
        await step(presence, clock)
        assert presence._write_line.exchanges - exchanges == 1
        assert view.calls("eval") - evals == of_this_second  # the lease, and all that is to be told
        for number in range(changes):
            presence.closed(f"s{number}")
    scripts = view.calls("expire")
    for _ in range(300):
        await step(presence, clock)
    assert view.calls("expire") - scripts <= 900 * 1.1  # within 300 s each is refreshed once
