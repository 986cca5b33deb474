"""Servers that share one Redis, each a presence of its own, and a view of what lies in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import redis

from stompgate.model.sessions import Session
from stompgate.ports.clock import Clock
from stompgate.sessions.redis import RedisSessions
from stompgate.sessions.redis_url import from_url
from stompgate.settings import Redis
from stompgate.system_clock import SystemClock
from tests.services import Services

BORN_US = 1_700_000_000_000_000
TELL_EVERY_S = 0.02

Make = Callable[..., RedisSessions]


def session(session_id: str, user: str, server: str, began: int = 0) -> Session:
    """A session that began so many µs after the first."""
    return Session(session_id, user, server, "localhost", 8070, BORN_US + began, BORN_US + began)


class View:
    """What lies in Redis below one prefix. Blocking: its answers take microseconds."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        (self.prefix,) = parse_qs(parts.query).get("prefix", [""])
        self.redis: redis.Redis = redis.Redis(port=parts.port or 0, decode_responses=True)
        self._raw: redis.Redis = redis.Redis(port=parts.port or 0)

    def close(self) -> None:
        self.redis.close()
        self._raw.close()

    def keys(self, pattern: str = "*") -> set[str]:
        """Names of keys, without the prefix."""
        return {key.removeprefix(self.prefix) for key in self.redis.scan_iter(f"{self.prefix}{pattern}", count=1000)}

    def of_the_contract(self) -> dict[str, object]:
        """The keys that other programs read, with their values."""
        found: dict[str, object] = {}
        for key in self.keys():
            if not key.startswith("stompgate:"):
                name = self.prefix + key
                found[key] = self.redis.smembers(name) if self.redis.type(name) == "set" else self.redis.get(name)
        return found

    def get(self, key: str) -> str | None:
        value = self.redis.get(self.prefix + key)
        assert value is None or isinstance(value, str)
        return value

    def saved(self) -> dict[str, tuple[int, bytes]]:
        """All of it, each key's time to live in ms and its value, for ``put_back``."""
        keys = self.redis.scan_iter(f"{self.prefix}*")
        return {key: (max(0, self._raw.pttl(key)), value) for key in keys if (value := self._raw.dump(key)) is not None}

    def put_back(self, saved: dict[str, tuple[int, bytes]]) -> None:
        """Make it so again, in one step."""
        with self._raw.pipeline(transaction=True) as pipeline:
            pipeline.delete(*self.redis.scan_iter(f"{self.prefix}*"))
            for key, (lives_ms, value) in saved.items():
                pipeline.restore(key, lives_ms, value, replace=True)
            pipeline.execute()

    def calls(self, command: str) -> int:
        """How often a command was called so far, over all clients of this Redis."""
        stats = self.redis.info("commandstats")
        assert isinstance(stats, dict)
        return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.fixture
def url(services: Services) -> str:
    """A part of the shared Redis that nobody else uses."""
    return services.fresh_sessions_url()


@pytest.fixture
def view(url: str) -> Iterator[View]:
    view = View(url)
    yield view
    view.close()


@pytest.fixture
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes presences that are started, and closes them in the end unless they crashed."""
    made: list[RedisSessions] = []

    def make_one(
        server_id: str, *, url: str = "", clock: Clock | None = None, starts: bool = True, **options: float
    ) -> RedisSessions:
        limits = Redis.model_validate({"tell_every_s": TELL_EVERY_S, **options}).model_dump()
        clock = clock or SystemClock(asyncio.get_running_loop())
        url = url or request.getfixturevalue("url")
        presence = from_url(url, server_id=server_id, clock=clock, zone=None, options=limits)
        made.append(presence)
        if starts:
            presence.start()
        return presence

    yield make_one
    for presence in made:
        await presence.close()


async def crash(presence: RedisSessions) -> None:
    """End it as ``kill -9`` does: nothing more is told."""
    writing = presence._writing
    assert writing is not None
    writing.cancel()
    await asyncio.wait({writing})
    presence._writing = None
