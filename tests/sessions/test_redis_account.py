"""What Redis is to be told stays bounded, and everyone has a turn."""

from __future__ import annotations

from stompgate.sessions.redis_account import Account

from .conftest import session


def test_who_came_and_went_while_nothing_was_told_leaves_nothing() -> None:
    account = Account()
    account.opened(session("known", "known", "one"))
    taken = account.take(100, 0.0)
    account.done(list(taken))
    for number in range(1000):
        account.opened(session(f"s{number}", f"user-{number}", "one"))
        account.closed(f"s{number}")
    assert account.due == 0
    account.closed("known")
    assert list(account.take(100, 1.0)) == ["known"]
    account.put_back(["known"])
    assert account.due == 1
    account.done(list(account.take(100, 2.0)))
    account.refresh(1e9, step_s=1.0, every_s=10.0)
    assert account.due == 0


def test_what_changed_while_it_was_told_is_told_again() -> None:
    account = Account()
    account.opened(session("a", "anna", "one"))
    taken = account.take(100, 0.0)
    account.closed("a")
    account.done(list(taken))
    assert account.take(100, 0.0) == {"anna": []}
    account.opened(session("b", "anna", "one"))
    account.done(["anna"])
    assert [each.id for each in account.take(100, 0.0)["anna"]] == ["b"]


def test_a_slice_is_bounded_by_its_sessions() -> None:
    account = Account()
    for number in range(30):
        account.opened(session(f"s{number}", f"user-{number // 10}", "one"))
    assert [len(sessions) for sessions in account.take(15, 0.0).values()] == [10, 10]
    assert [len(sessions) for sessions in account.take(15, 0.0).values()] == [10]


def test_everyone_is_refreshed_in_time_and_never_many_at_once() -> None:
    account = Account()
    for number in range(1000):
        account.opened(session(f"s{number}", f"user-{number}", "one"))
    told = dict.fromkeys(account.take(10_000, 0.0), 0.0)
    account.done(list(told))
    for second in range(1, 2000):
        account.refresh(float(second), step_s=1.0, every_s=300.0)
        taken = account.take(10_000, float(second))
        account.done(list(taken))
        assert len(taken) <= 4
        told |= dict.fromkeys(taken, float(second))
        assert second - min(told.values()) <= 450
