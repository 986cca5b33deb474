"""What every keeper of sessions promises. It may lag, so what is asked of it is asked until it says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stompgate.model.sessions import Session
from stompgate.ports.part import Measured
from stompgate.ports.sessions import Sessions
from tests.waiting import until


def session(session_id: str, user: str) -> Session:
    return Session(session_id, user, "server-1", "localhost", 8070, 1_700_000_000_000_000, 1_700_000_000_123_456)


async def shows(sessions: Sessions, expected: Mapping[str, Session], users: Sequence[str]) -> None:
    """Wait until these sessions stand for those of ``users`` who are there, and the same users are on the server."""

    everyone = {"server-1": sorted(expected)} if expected else {}

    async def agrees() -> bool:
        by_server = {server: sorted(names) for server, names in (await sessions.users_by_server()).items()}
        return await sessions.sessions_of(users) == expected and by_server == everyone

    await until(agrees, f"{expected} is shown")


async def test_nobody_is_there_at_first(sessions: Sessions) -> None:
    assert list(sessions.local_users()) == []
    assert await sessions.sessions_of(["anna"]) == {}
    assert await sessions.sessions_of([]) == {}
    assert await sessions.users_by_server() == {}
    await sessions.ping()


async def test_a_user_is_there_from_the_first_session_to_the_last(sessions: Sessions) -> None:
    sessions.opened(session("1", "anna"))
    sessions.opened(session("2", "anna"))
    sessions.closed("1")
    assert list(sessions.local_users()) == ["anna"]
    await shows(sessions, {"anna": session("2", "anna")}, ["anna"])
    sessions.closed("2")
    assert list(sessions.local_users()) == []
    await shows(sessions, {}, ["anna"])


async def test_the_newest_living_session_stands_for_a_user(sessions: Sessions) -> None:
    ids = "3", "1", "2"  # by their names another one would be the newest
    for each in ids:
        sessions.opened(session(each, "anna"))
    await shows(sessions, {"anna": session("2", "anna")}, ["anna", "ANNA"])
    sessions.closed("2")
    await shows(sessions, {"anna": session("1", "anna")}, ["anna"])
    sessions.closed("3")
    await shows(sessions, {"anna": session("1", "anna")}, ["anna"])


async def test_users_stand_in_the_order_of_their_oldest_living_sessions(sessions: Sessions) -> None:
    for each in (session("1", "anna"), session("2", "bela"), session("3", "anna"), session("4", "cleo")):
        sessions.opened(each)
    assert list(sessions.local_users()) == ["anna", "bela", "cleo"]
    sessions.closed("1")
    assert list(sessions.local_users()) == ["bela", "anna", "cleo"]


async def test_many_users_are_asked_for_at_once(sessions: Sessions) -> None:
    expected = {user: session(f"s-{user}", user) for user in (f"구매자 {n}@x.kr" for n in range(1200))}
    for each in expected.values():
        sessions.opened(each)
    await shows(sessions, expected, [*expected, "nobody", *expected])


async def test_closing_what_is_not_open_does_nothing(sessions: Sessions) -> None:
    sessions.opened(session("1", "anna"))
    sessions.closed("2")
    assert list(sessions.local_users()) == ["anna"]


async def test_the_figures_keep_their_names(sessions: Sessions) -> None:
    assert isinstance(sessions, Measured)
    before = [figure.name for figure in sessions.figures()]
    sessions.opened(session("1", "anna"))
    assert [figure.name for figure in sessions.figures()] == before
    (living,) = [figure for figure in sessions.figures() if figure.name == "stompgate_sessions_living"]
    assert living.value == 1
