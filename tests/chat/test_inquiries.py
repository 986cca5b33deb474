"""Inquiries reach the support desk whatever happens to the mail server, and never as more than one mail's worth of head."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stompgate.chat.inquiries import Inquiries, InquiryLimits, TooManyInquiries
from stompgate.model.causes import Cause, Refusal
from stompgate.model.inquiries import Inquiry
from stompgate.ports.mail import MailRefused
from stompgate.ports.part import PartDown
from stompgate.ports.store import StoreUnavailable
from stompgate.stores.sqlite import SqliteStore
from tests.fakes import FakeClock
from tests.memory_store import MemoryRows, MemoryStore
from tests.pages import blocks
from tests.waiting import until

DAY_S = 86_400.0
LIMITS = InquiryLimits(per_address_per_min=0, per_min=0)


class Desk:
    """A ``Mail`` that keeps what it is given, is down, refuses some, or takes its time."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.tries = 0
        self.down = False
        self.refusals: dict[str, MailRefused] = {}
        self.holds: asyncio.Event | None = None

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ping(self) -> None:
        pass

    async def send_inquiry(self, inquiry: Inquiry) -> None:
        self.tries += 1
        if self.holds is not None:
            await self.holds.wait()
        if self.down:
            raise PartDown("no mail server")
        if (refusal := self.refusals.get(inquiry.name)) is not None:
            raise refusal
        self.got.append(inquiry.name)


class Scene:
    """A desk and a server's inquiries, over rows that outlive it, with a clock for all."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rows = MemoryRows(clock=self.clock)
        self.desk = Desk()
        self._mailers: list[Inquiries] = []

    def server(self, name: str = "s1", limits: InquiryLimits = LIMITS, *, mailing: bool = True) -> Inquiries:
        inquiries = Inquiries(MemoryStore(self.rows, server_id=name), self.desk, self.clock, limits)
        if mailing:
            inquiries.start()
        self._mailers.append(inquiries)
        return inquiries

    async def settle(self) -> None:
        """Let everybody do what they can without time passing."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float, step_s: float = 1.0) -> None:
        await self.settle()
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            await self.settle()

    async def end(self) -> None:
        for mailer in self._mailers:
            await mailer.close()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    await scene.end()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "chat.db", server_id="s1")
    await store.open()
    yield store
    await store.close()


async def ask(inquiries: Inquiries, name: str, address: str = "") -> None:
    await inquiries.take(name=name, email=f"{name}@x.kr", phone="010", message="hi", address=address)


def final(*, only_this: bool) -> MailRefused:
    return MailRefused("550 no", only_this=only_this, is_final=True)


def temporary(*, only_this: bool) -> MailRefused:
    return MailRefused("450 later", only_this=only_this, is_final=False)


async def test_an_inquiry_is_mailed_once_and_marked(store: SqliteStore) -> None:
    desk = Desk()
    inquiries = Inquiries(store, desk, FakeClock(), LIMITS)
    inquiries.start()
    for name in ("kim", "lee"):
        await ask(inquiries, name)
    await until(lambda: desk.got == ["kim", "lee"], "both are mailed")
    await inquiries.close()
    again = Inquiries(store, desk, FakeClock(), LIMITS)
    again.start()
    await ask(again, "park")
    await until(lambda: "park" in desk.got, "the third is mailed")
    await again.close()
    assert desk.got == ["kim", "lee", "park"]
    assert (inquiries.stored, inquiries.mailed, again.mailed) == (2, 2, 1)


async def test_what_an_earlier_run_left_is_mailed_at_the_start(scene: Scene) -> None:
    await ask(scene.server(mailing=False), "kim")
    scene.server()
    await scene.settle()
    assert scene.desk.got == ["kim"]


async def test_what_another_server_left_is_found_without_news(scene: Scene) -> None:
    scene.server("s2")
    await scene.settle()
    await ask(scene.server("s1", mailing=False), "kim")
    await scene.pass_time(LIMITS.look_every_s)
    assert scene.desk.got == ["kim"]


async def test_two_servers_mail_each_once(scene: Scene) -> None:
    servers = [scene.server("s1"), scene.server("s2")]
    names = [f"name {n}" for n in range(20)]
    for n, name in enumerate(names):
        await ask(servers[n % 2], name)
    await scene.settle()
    assert sorted(scene.desk.got) == sorted(names)
    assert scene.desk.tries == len(names)


async def test_while_the_mail_is_away_tries_grow_rarer_and_nothing_is_lost(scene: Scene) -> None:
    scene.desk.down = True
    inquiries = scene.server()
    await ask(inquiries, "kim")
    await scene.settle()
    delay_s, tries = LIMITS.retry_least_s, 1
    while delay_s < LIMITS.retry_most_s:
        await ask(inquiries, f"more-{tries}")  # news don't hurry a server that is away
        await scene.pass_time(delay_s - 0.5, 0.5)
        assert scene.desk.tries == tries
        await scene.pass_time(0.5, 0.5)
        tries += 1
        assert scene.desk.tries == tries
        delay_s = min(delay_s * 2, LIMITS.retry_most_s)
    scene.desk.down = False
    await scene.pass_time(LIMITS.retry_most_s)
    assert scene.desk.got == ["kim", *(f"more-{n}" for n in range(1, tries))], "all, at once, in their order"
    assert inquiries.failures == tries
    scene.desk.down = True
    await ask(inquiries, "late")
    await scene.pass_time(LIMITS.retry_least_s)
    assert scene.desk.tries == 2 * tries + 2, "after a success it begins with short delays"


async def test_one_that_is_refused_alone_does_not_keep_the_others_waiting(scene: Scene) -> None:
    scene.desk.refusals["kim"] = temporary(only_this=True)
    inquiries = scene.server()
    for name in ("kim", "lee", "park"):
        await ask(inquiries, name)
    await scene.settle()
    assert scene.desk.got == ["lee", "park"]
    scene.desk.refusals.clear()
    await scene.pass_time(2 * LIMITS.look_every_s)
    assert scene.desk.got == ["lee", "park", "kim"]


async def test_how_often_one_was_refused_outlives_a_restart(scene: Scene) -> None:
    scene.desk.refusals["kim"] = temporary(only_this=True)
    inquiries = scene.server()
    await ask(inquiries, "kim")
    await scene.pass_time(3600, 5.0)
    tries = scene.desk.tries
    await inquiries.close()
    scene.server()
    await scene.pass_time(LIMITS.retry_most_s / 2, 5.0)
    assert scene.desk.tries - tries <= 1, "it does not begin anew"


@pytest.mark.parametrize(
    ("refusal", "after_days"),
    [
        (temporary(only_this=True), LIMITS.give_up_days),
        (temporary(only_this=False), LIMITS.give_up_days),
        (final(only_this=True), LIMITS.refused_give_up_days),
        (final(only_this=False), LIMITS.refused_give_up_days),
    ],
    ids=lambda value: str(value) if isinstance(value, float) else f"{value} {'this' if value.only_this else 'all'}",
)
async def test_after_days_of_failures_it_is_given_up_named_and_counted(
    scene: Scene, refusal: MailRefused, after_days: float
) -> None:
    scene.desk.refusals = {"kim": refusal, "lee": refusal}
    inquiries = scene.server()
    for name in ("kim", "lee"):
        await ask(inquiries, name)
    await scene.pass_time(after_days * DAY_S - 3 * LIMITS.retry_most_s, 300.0)
    assert inquiries.given_up == 0
    with capture_logs() as lines:
        await scene.pass_time(6 * LIMITS.retry_most_s, 300.0)
    given_up = [line for line in lines if line["event"] == "an inquiry was given up"]
    assert [(line["inquiry"], line["reason"], line["log_level"]) for line in given_up] == [
        (1, str(refusal), "error"),
        (2, str(refusal), "error"),
    ]
    assert inquiries.given_up == 2
    scene.desk.refusals.clear()
    await scene.pass_time(2 * LIMITS.retry_most_s, 10.0)
    assert scene.desk.got == []
    assert sorted(scene.rows.inquiries) == [1, 2], "they are kept"


async def test_the_page_says_how_to_see_and_try_again_what_was_given_up(store: SqliteStore, tmp_path: Path) -> None:
    delete, select = blocks("docs/operations/mail.md", "sql")
    asked = await store.add_inquiry(Inquiry(0, "kim", "k@x.kr", "010", "hi"))
    await store.put_off_mail(0)
    assert list(await store.give_up_mail(2**62)) == [asked.id]
    assert await store.unmailed(10) == []
    with closing(sqlite3.connect(tmp_path / "chat.db")) as database:
        assert database.execute(select).fetchall() == [(asked.id, "kim", "k@x.kr", "010", "hi")]
        database.execute(delete)
        database.commit()
    assert await store.unmailed(10) == [asked]


async def test_the_days_of_an_outage_count_for_all_that_wait(scene: Scene) -> None:
    scene.desk.down = True
    inquiries = scene.server()
    for n in range(5):
        await ask(inquiries, f"name {n}")
    await scene.pass_time(DAY_S, 300.0)
    await ask(inquiries, "later")
    await scene.pass_time((LIMITS.give_up_days - 1) * DAY_S + 2 * LIMITS.retry_most_s, 300.0)
    assert inquiries.given_up == 5
    scene.desk.down = False
    await scene.pass_time(2 * LIMITS.retry_most_s, 10.0)
    assert scene.desk.got == ["later"]


async def test_a_mail_whose_mark_the_store_did_not_take_is_not_sent_again(scene: Scene) -> None:
    class Forgetful(MemoryStore):
        broken = True

        async def mark_mailed(self, inquiry_id: int) -> None:
            if self.broken:
                raise StoreUnavailable("no answer")
            await super().mark_mailed(inquiry_id)

    store = Forgetful(scene.rows, server_id="s1")
    inquiries = Inquiries(store, scene.desk, scene.clock, LIMITS)
    inquiries.start()
    scene.desk.refusals["older"] = temporary(only_this=True)
    await ask(inquiries, "older")
    await scene.settle()
    await ask(inquiries, "kim")
    await scene.pass_time(60)
    scene.desk.refusals.clear()  # and it is time to try the older one again
    store.broken = False
    await scene.pass_time(LIMITS.retry_most_s)
    await ask(inquiries, "lee")
    await scene.settle()
    await inquiries.close()
    assert scene.desk.got == ["kim", "older", "lee"]
    assert scene.rows.mailed == {1, 2, 3}


async def test_a_mail_under_way_is_finished_before_the_server_stops(scene: Scene) -> None:
    scene.desk.holds = asyncio.Event()
    inquiries = scene.server()
    await ask(inquiries, "kim")
    await ask(inquiries, "lee")
    await scene.settle()
    closing = asyncio.create_task(inquiries.close())
    await scene.settle()
    assert not closing.done()
    scene.desk.holds.set()
    await closing
    assert scene.desk.got == ["kim"]
    assert scene.rows.mailed == {1}


async def test_closing_ends_the_task_also_while_it_waits_to_try_again_or_for_the_mail(scene: Scene) -> None:
    scene.desk.down = True
    inquiries = scene.server()
    await ask(inquiries, "kim")
    await scene.settle()
    await inquiries.close()
    await inquiries.close()
    scene.desk.holds = asyncio.Event()
    hasty = scene.server(limits=InquiryLimits(finish_s=0.01))
    await scene.settle()
    await hasty.close()
    await scene.pass_time(LIMITS.retry_most_s)
    assert scene.desk.tries == 2
    assert [task.get_name() for task in asyncio.all_tasks() if "inquiry" in task.get_name()] == []


# How many are taken


async def test_an_address_has_so_many_a_minute_and_everyone_together_so_many(scene: Scene) -> None:
    inquiries = scene.server(limits=InquiryLimits(per_address_per_min=2, per_min=5))
    await ask(inquiries, "a", "1.1.1.1")
    await ask(inquiries, "b", "1.1.1.1")
    with pytest.raises(TooManyInquiries, match="from your address") as refused:
        await ask(inquiries, "c", "1.1.1.1")
    assert (refused.value.cause, refused.value.retry_after_s) == (Cause.TOO_MANY_REQUESTS, 30)
    for n in range(3):
        await ask(inquiries, f"d{n}", f"2.2.2.{n}")
    with pytest.raises(TooManyInquiries, match="everyone together") as refused:
        await ask(inquiries, "e", "3.3.3.3")
    assert refused.value.retry_after_s == 12
    scene.clock.advance(30)
    await ask(inquiries, "f", "1.1.1.1")
    assert (inquiries.stored, inquiries.limited) == (6, 2)


async def test_what_is_no_inquiry_counts_for_nothing(scene: Scene) -> None:
    inquiries = scene.server(limits=InquiryLimits(per_address_per_min=1, per_min=1))
    with pytest.raises(Refusal, match="bad-request"):
        await inquiries.take(name="a\nb", email="", phone="", message="hi", address="1.1.1.1")
    await ask(inquiries, "kim", "1.1.1.1")


@pytest.mark.parametrize("field", ["name", "email", "phone"])
@pytest.mark.parametrize("inside", ["\r\n", "\n", "\r", "\0", "\x85", "\u2028", "\ud800"])
async def test_no_line_end_or_control_reaches_the_head_of_a_mail(store: SqliteStore, field: str, inside: str) -> None:
    fields = {"name": "kim", "email": "k@x.kr", "phone": "010", "message": "hi"}
    fields[field] = f"a{inside}b"
    with pytest.raises(Refusal) as refused:
        await Inquiries(store, Desk(), FakeClock(), LIMITS).take(**fields)
    assert refused.value.cause is Cause.BAD_REQUEST
    assert field in refused.value.explanation
    assert await store.unmailed(1) == []
