"""What every keeper of sessions promises."""

from __future__ import annotations

from stompgate.model.sessions import Session
from stompgate.ports.sessions import Sessions


def session(session_id: str, user: str) -> Session:
    return Session(session_id, user, "server-1", "localhost", 8070, 1_700_000_000_000_000, 1_700_000_000_000_000)


async def test_nobody_is_there_at_first(sessions: Sessions) -> None:
    assert list(sessions.local_users()) == []
    assert await sessions.session_of("anna") is None
    assert await sessions.users_by_server() == {}
    await sessions.ping()


async def test_a_user_is_there_from_the_first_session_to_the_last(sessions: Sessions) -> None:
    sessions.opened(session("1", "anna"))
    sessions.opened(session("2", "anna"))
    sessions.closed("1")
    assert list(sessions.local_users()) == ["anna"]
    sessions.closed("2")
    assert list(sessions.local_users()) == []
    assert await sessions.session_of("anna") is None
    assert await sessions.users_by_server() == {}


async def test_the_newest_living_session_stands_for_a_user(sessions: Sessions) -> None:
    one, two, three = (session(str(n), "anna") for n in (1, 2, 3))
    for each in (one, two, three):
        sessions.opened(each)
    assert await sessions.session_of("anna") == three
    sessions.closed("3")
    assert await sessions.session_of("anna") == two
    sessions.closed("1")
    assert await sessions.session_of("anna") == two
    assert await sessions.session_of("ANNA") is None


async def test_users_stand_in_the_order_of_their_oldest_living_sessions(sessions: Sessions) -> None:
    for each in (session("1", "anna"), session("2", "bela"), session("3", "anna"), session("4", "cleo")):
        sessions.opened(each)
    assert list(sessions.local_users()) == ["anna", "bela", "cleo"]
    sessions.closed("1")
    assert list(sessions.local_users()) == ["bela", "anna", "cleo"]
    assert {server: list(users) for server, users in (await sessions.users_by_server()).items()} == {
        "server-1": ["bela", "anna", "cleo"]
    }


async def test_closing_what_is_not_open_does_nothing(sessions: Sessions) -> None:
    sessions.opened(session("1", "anna"))
    sessions.closed("2")
    assert list(sessions.local_users()) == ["anna"]
