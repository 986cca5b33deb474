"""A whole application over a real store in a folder of the test's own, and a client that may come from any address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from stompgate.access.origins import AllowedOrigins
from stompgate.chat.history import History
from stompgate.chat.inquiries import Inquiries
from stompgate.chat.rooms import RoomLimits, Rooms
from stompgate.chat.wire import Wire
from stompgate.http.app import build_app
from stompgate.http.measures import Sources
from stompgate.http.parts import EVERYONE, HttpParts, HttpSettings, PartHealth
from stompgate.mail.log import LogMail
from stompgate.model.ids import MessageIds
from stompgate.model.messages import Draft
from stompgate.model.rooms import RoomUser
from stompgate.ports.store import Stored
from stompgate.sessions.memory import MemorySessions
from stompgate.stores.sqlite import SqliteStore
from tests.fakes import FakeClock

SERVER = "chat-server-1"
BUYER = {"X-Auth-User": "buyer@x.kr"}
LEGACY = HttpSettings(operators=EVERYONE, history_needs_user=False, allowed_origins=AllowedOrigins("*"))


@dataclass
class KnownHealth:
    """A ``Health`` that says what a test tells it to."""

    alive: bool = True
    known: list[PartHealth] = field(default_factory=list)
    draining_since: str = ""

    def live(self) -> bool:
        return self.alive

    async def parts(self) -> Sequence[PartHealth]:
        return self.known


@dataclass
class House:
    """The parts behind an application, for a test to reach into."""

    store: SqliteStore
    sessions: MemorySessions
    clock: FakeClock
    health: KnownHealth
    parts: HttpParts

    async def make_room(self, buyer: str = "buyer@x.kr", seller: str = "seller@x.kr", product: str = "자전거") -> RoomUser:
        return (await self.parts.rooms.create(buyer=buyer, seller=seller, product_name=product))[1]

    async def write(self, room: str, contents: Sequence[str], sender: str = "buyer@x.kr") -> None:
        members = await self.store.members(room)
        assert members is not None
        ids = MessageIds()
        drafts = [
            Draft(ids.new(self.clock.utc_us()), room, sender, content, None, self.clock.utc_us(), members.version)
            for content in contents
        ]
        assert all(isinstance(outcome, Stored) for outcome in await self.store.append(drafts))

    def client(self, settings: HttpSettings = LEGACY, peer: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(build_app(self.parts, settings), client=(peer, 40000), **options)
        return httpx.AsyncClient(transport=transport, base_url="http://chat.example")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = SqliteStore(tmp_path / "chat.db", server_id=SERVER)
    await store.open()
    clock, sessions, health = FakeClock(utc_us=1_700_000_000_123_456), MemorySessions(SERVER), KnownHealth()
    parts = HttpParts(
        server_id=SERVER,
        rooms=Rooms(store, lambda change: None, RoomLimits()),
        history=History(store, page_messages=10),
        inquiries=Inquiries(store, LogMail(), clock),
        sessions=sessions,
        wire=Wire(None),
        clock=clock,
        health=health,
        sources=no_sources,
        operating=cast(Any, None),
        stop=lambda: None,
    )
    yield House(store, sessions, clock, health, parts)
    await store.close()


def no_sources() -> Sources:
    """The figures of a whole server, which this is not."""
    raise AssertionError("nobody asks for figures here")


def code_of(answer: httpx.Response) -> str:
    """The code of a problem document that is one in every respect."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["type"].endswith(document["code"])
    assert document["title"]
    assert document["detail"]
    return str(document["code"])
