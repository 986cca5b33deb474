"""What operators see of sessions, also when presence is away."""

from __future__ import annotations

import pytest

from stompgate.model.sessions import Session
from stompgate.ports.part import PartDown

from .conftest import SERVER, House

KIM = Session("s-1", "김", SERVER, "::1", 8070, 1_700_000_000_000_000, 1_700_000_000_500_000)


async def test_a_session_is_shown_with_texts_only(house: House) -> None:
    house.sessions.opened(KIM)
    async with house.client() as client:
        info = (await client.get("/chat/debug/sessions/김")).json()
    assert all(isinstance(value, str) for value in info["sessionInfo"].values())
    assert info["serverUrl"] == info["sessionInfo"]["serverUrl"] == "ws://[::1]:8070/ws-stomp"
    assert info["isOnThisServer"] is True


async def test_a_user_who_left_between_two_reads_is_left_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.sessions.opened(KIM)

    async def gone(users: object) -> dict[str, Session]:
        return {}

    monkeypatch.setattr(house.sessions, "sessions_of", gone)
    async with house.client() as client:
        shown = (await client.get("/chat/debug/sessions")).json()
    assert (shown["serverUsers"], shown["userDetails"]) == ({SERVER: ["김"]}, {})


async def test_while_presence_is_away_this_server_is_shown_and_the_rest_is_unknown(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.sessions.opened(KIM)

    async def away(*_: object) -> None:
        raise PartDown("redis://secret")

    monkeypatch.setattr(house.sessions, "users_by_server", away)
    monkeypatch.setattr(house.sessions, "sessions_of", away)
    async with house.client() as client:
        shown = (await client.get("/chat/debug/sessions")).json()
        assert (shown["currentServerUsers"], shown["serverUsers"], shown["presence"]) == (["김"], {}, "unknown")
        assert (await client.get("/chat/debug/sessions/김")).json() == {"presence": "unknown", "isOnThisServer": True}
        assert (await client.get("/chat/debug/sessions/lee")).json() == {"presence": "unknown", "isOnThisServer": False}
        assert (await client.get("/chat/debug/server-status")).json()["activeUsers"] == ["김"]
