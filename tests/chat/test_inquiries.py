"""Inquiries reach the support desk whatever happens to the mail server, and never as more than one mail's worth of head."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from stompgate.chat.inquiries import RETRY_FROM_S, RETRY_TO_S, Inquiries
from stompgate.model.causes import Cause, Refusal
from stompgate.model.inquiries import Inquiry
from stompgate.ports.part import PartDown
from stompgate.stores.sqlite import SqliteStore
from tests.fakes import FakeClock

DEADLINE_S = 5.0


class Desk:
    """A ``Mail`` that keeps what it is given, or is down."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.tries = 0
        self.down = False

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ping(self) -> None:
        pass

    async def send_inquiry(self, inquiry: Inquiry) -> None:
        self.tries += 1
        if self.down:
            raise PartDown("no mail server")
        self.got.append(inquiry.name)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "chat.db", server_id="s1")
    await store.open()
    yield store
    await store.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():  # noqa: ASYNC110 what is waited for happens in a thread of the store
            await asyncio.sleep(0.002)


async def ask(inquiries: Inquiries, name: str) -> None:
    await inquiries.take(name=name, email=f"{name}@x.kr", phone="010", message="hi")


async def test_an_inquiry_is_mailed_once_and_marked(store: SqliteStore) -> None:
    desk = Desk()
    inquiries = Inquiries(store, desk, FakeClock())
    inquiries.start()
    for name in ("kim", "lee"):
        await ask(inquiries, name)
    await until(lambda: desk.got == ["kim", "lee"])
    await inquiries.close()
    again = Inquiries(store, desk, FakeClock())
    again.start()
    await ask(again, "park")
    await until(lambda: "park" in desk.got)
    await again.close()
    assert desk.got[-1] == "park"
    assert desk.got.count("kim") == 1


async def test_what_an_earlier_run_left_is_mailed_at_the_start(store: SqliteStore) -> None:
    await ask(Inquiries(store, Desk(), FakeClock()), "kim")
    desk = Desk()
    inquiries = Inquiries(store, desk, FakeClock())
    inquiries.start()
    await until(lambda: desk.got == ["kim"])
    await inquiries.close()


async def test_while_the_mail_is_away_tries_grow_rarer_and_nothing_is_lost(store: SqliteStore) -> None:
    desk, clock = Desk(), FakeClock()
    desk.down = True
    inquiries = Inquiries(store, desk, clock)
    inquiries.start()
    await ask(inquiries, "kim")
    delay_s, tries = RETRY_FROM_S, 1
    await until(lambda: desk.tries == 1)
    while delay_s < RETRY_TO_S:
        await ask(inquiries, f"more-{tries}")  # news don't hurry a server that is away
        await until(lambda: bool(clock._timers))
        clock.advance(delay_s - 0.1)
        await asyncio.sleep(0)
        assert desk.tries == tries
        clock.advance(0.1)
        tries += 1
        await until(lambda: desk.tries == tries)  # noqa: B023
        delay_s = min(delay_s * 2, RETRY_TO_S)
    desk.down = False
    await until(lambda: bool(clock._timers))
    clock.advance(RETRY_TO_S)
    await until(lambda: len(desk.got) == tries)
    assert desk.got[:2] == ["kim", "more-1"]
    await inquiries.close()


async def test_closing_ends_the_task_also_while_it_waits_to_try_again(store: SqliteStore) -> None:
    desk, clock = Desk(), FakeClock()
    desk.down = True
    inquiries = Inquiries(store, desk, clock)
    await inquiries.close()  # never started
    inquiries.start()
    await ask(inquiries, "kim")
    await until(lambda: desk.tries == 1)
    await inquiries.close()
    clock.advance(RETRY_TO_S)
    assert [task.get_name() for task in asyncio.all_tasks() if "inquiry" in task.get_name()] == []
    assert [inquiry.name for inquiry in await store.unmailed(10)] == ["kim"]


@pytest.mark.parametrize("field", ["name", "email", "phone"])
@pytest.mark.parametrize("inside", ["\r\n", "\n", "\r", "\0", "\x85", "\u2028", "\ud800"])
async def test_no_line_end_or_control_reaches_the_head_of_a_mail(store: SqliteStore, field: str, inside: str) -> None:
    fields = {"name": "kim", "email": "k@x.kr", "phone": "010", "message": "hi"}
    fields[field] = f"a{inside}b"
    with pytest.raises(Refusal) as refused:
        await Inquiries(store, Desk(), FakeClock()).take(**fields)
    assert refused.value.cause is Cause.BAD_REQUEST
    assert field in refused.value.explanation
    assert await store.unmailed(1) == []
