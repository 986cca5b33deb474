"""Nothing is said to be stored before it is, nor refused when it may be; each sender is answered once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from stompgate.chat.intake import Intake, IntakeLimits
from stompgate.model.messages import ChatMessage, Draft
from stompgate.ports.store import Outcome, Rejected, Stored
from tests.fakes import FakeClock
from tests.steered_store import SteeredStore

from .audience import settle

ROOM = "r1"
LIMITS = IntakeLimits(group_rows=4, group_bytes=400, waiting_rows=10, retry_s=0.001, unknown_for_s=10)


class Desk:
    """An intake, and what its senders were told."""

    def __init__(self, store: SteeredStore) -> None:
        self.store = store
        self.clock = FakeClock()
        self.stored: list[ChatMessage] = []
        self.answers: list[tuple[str, str]] = []
        self.intake = Intake(store, self.clock, self._is_stored, LIMITS)

    def _is_stored(self, message: ChatMessage) -> None:
        assert message in self.store.rooms[message.room].messages
        self.stored.append(message)

    def submit(self, content: str, *, sender: str = "ann", client_id: str | None = None) -> None:
        draft = Draft(f"id {content}", ROOM, sender, content, client_id, 0, 0)  # checked by the store alone
        self.intake.submit(draft, lambda outcome: self.answered(content, outcome))

    def answered(self, content: str, outcome: Outcome) -> None:
        said = outcome.cause.code if isinstance(outcome, Rejected) else f"stored {outcome.message.seq}"
        self.answers.append((content, said))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    store = SteeredStore()
    store.make_room(ROOM)
    desk = Desk(store)
    yield desk
    async with asyncio.timeout(30):
        await desk.intake.close()


async def test_messages_are_stored_and_answered_in_their_order(desk: Desk) -> None:
    for content in "abcdefghij":
        desk.submit(content)
    assert desk.answers == []
    await settle()
    assert desk.answers == [(content, f"stored {at}") for at, content in enumerate("abcdefghij", 1)]
    assert [message.content for message in desk.stored] == list("abcdefghij")


async def test_what_waits_while_a_group_is_written_is_the_next_group(desk: Desk) -> None:
    hold = desk.store.hold("append")
    desk.submit("a")
    await hold.reached.wait()
    for content in "bcd":
        desk.submit(content)
    hold.let_go()
    await settle()
    assert desk.store.groups == [["a"], ["b", "c", "d"]]
    assert (desk.intake.group_rows.count, desk.intake.group_rows.total) == (2, 4)


async def test_groups_are_bounded_in_rows_and_bytes(desk: Desk) -> None:
    for content in ["a", "b", "c", "d", "e", "f" * 90, "g" * 90, "h" * 1000, "i"]:
        desk.submit(content)
    await settle()
    assert [len(group) for group in desk.store.groups] == [4, 2, 1, 1, 1]


async def test_a_bad_row_is_refused_alone(desk: Desk) -> None:
    desk.submit("a")
    desk.submit("b", sender="eve")
    desk.submit("c")
    await settle()
    assert desk.answers == [("a", "stored 1"), ("b", "no-such-room"), ("c", "stored 2")]


async def test_a_client_id_sent_again_is_answered_the_same_and_offered_again(desk: Desk) -> None:
    desk.submit("a", client_id="x")
    await settle()
    desk.submit("a again", client_id="x")
    await settle()
    assert desk.answers == [("a", "stored 1"), ("a again", "stored 1")]
    assert [message.id for message in desk.stored] == ["id a", "id a"]


async def test_a_store_that_is_down_is_a_certain_refusal(desk: Desk) -> None:
    desk.store.down = True
    desk.submit("a")
    await settle()
    assert desk.answers == [("a", "store-unavailable")]
    assert desk.store.calls["append"] == 1
    desk.store.down = False
    desk.submit("b")
    await settle()
    assert desk.answers[1:] == [("b", "stored 1")]


async def test_an_outage_is_one_warning_and_a_line_when_it_is_over(desk: Desk) -> None:
    desk.store.down = True
    with capture_logs() as lines:
        for content in "abc":
            desk.submit(content)
            await settle()
        desk.clock.advance(30)
        desk.store.down = False
        for content in "de":
            desk.submit(content)
            await settle()
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("warning", "messages cannot be stored"),
        ("info", "messages are stored again"),
    ]
    assert lines[1]["failed_s"] == 30


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 the intake retries by the loop's own clock
            await asyncio.sleep(0.001)


async def test_after_a_lost_answer_the_same_group_is_tried_again_and_later_ones_wait(desk: Desk) -> None:
    desk.store.lose_answers = 2
    hold = desk.store.hold("append")
    desk.submit("a")
    desk.submit("b")
    await hold.reached.wait()
    desk.submit("c")
    hold.let_go()
    await until(lambda: len(desk.answers) == 3)
    assert desk.store.groups == [["a", "b"]] * 3 + [["c"]]
    assert desk.answers == [("a", "stored 1"), ("b", "stored 2"), ("c", "stored 3")]
    assert [message.content for message in desk.stored] == ["a", "b", "c"]


async def test_an_outcome_that_stays_unknown_is_said_to_be_unknown(desk: Desk) -> None:
    desk.store.lose_answers = 1_000_000
    desk.submit("a")
    await settle()
    desk.submit("b")
    desk.clock.advance(LIMITS.unknown_for_s)
    await until(lambda: len(desk.answers) == 1)
    assert desk.answers == [("a", "outcome-unknown")]
    desk.store.lose_answers = 0
    await until(lambda: len(desk.answers) == 2)
    assert desk.answers[1] == ("b", "stored 2")


async def test_after_an_unknown_outcome_nothing_is_called_refused(desk: Desk) -> None:
    desk.store.lose_answers = 1
    desk.submit("a")
    await until(lambda: not desk.store.lose_answers)
    desk.store.down = True
    await until(lambda: desk.store.calls["append"] >= 3)
    assert desk.answers == []
    desk.clock.advance(LIMITS.unknown_for_s)
    await until(lambda: len(desk.answers) == 1)
    assert desk.answers == [("a", "outcome-unknown")]


async def test_a_room_deleted_after_an_unknown_outcome_is_no_refusal(desk: Desk) -> None:
    desk.store.lose_answers = 1
    desk.submit("a")
    await until(lambda: not desk.store.lose_answers)
    await desk.store.delete_room(ROOM)
    await until(lambda: len(desk.answers) == 1)
    assert desk.answers == [("a", "outcome-unknown")]


async def test_past_the_bound_messages_are_refused_later_and_the_waiting_ones_stored(desk: Desk) -> None:
    hold = desk.store.hold("append")
    desk.submit("first")
    await hold.reached.wait()
    for number in range(LIMITS.waiting_rows + 1):
        desk.submit(str(number))
    assert desk.answers == []
    await settle()
    assert desk.answers == [(str(LIMITS.waiting_rows), "overloaded")]
    hold.let_go()
    await settle()
    assert len(desk.stored) == LIMITS.waiting_rows + 1


async def test_one_sender_whose_answer_goes_wrong_takes_no_other_with_it(desk: Desk) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    def answered(outcome: Outcome) -> None:
        raise RuntimeError("a mistake")

    desk.submit("a")
    desk.intake.submit(Draft("id x", ROOM, "ann", "x", None, 0, 1), answered)
    desk.submit("b")
    for content in "cdefg":
        desk.submit(content)
    await settle()
    assert [content for content, _ in desk.answers] == list("abcdefg")
    assert [message.content for message in desk.stored] == list("axbcdefg"), "what is stored goes to the others all the same"
    assert [str(context["exception"]) for context in told] == ["a mistake"]


async def test_closing_waits_until_everything_taken_is_answered(desk: Desk) -> None:
    hold = desk.store.hold("append")
    for content in "abcdef":
        desk.submit(content)
    closes = asyncio.create_task(desk.intake.close())
    await hold.reached.wait()
    assert not closes.done()
    hold.let_go()
    await closes
    assert len(desk.answers) == 6


async def test_closing_what_was_never_used_is_done_at_once(desk: Desk) -> None:
    await desk.intake.close()


async def test_a_write_that_is_cut_off_is_answered_as_unknown(desk: Desk) -> None:
    hold = desk.store.hold("append")
    desk.submit("a")
    await hold.reached.wait()
    (writer,) = [task for task in asyncio.all_tasks() if task.get_name() == "intake writes"]
    writer.cancel()
    await settle()
    assert desk.answers == [("a", "outcome-unknown")]
    desk.submit("b")
    await settle()
    assert desk.answers[1] == ("b", "stored 1")


async def test_an_answer_names_the_stored_message_itself(desk: Desk) -> None:
    outcomes: list[Outcome] = []
    desk.intake.submit(Draft("id x", ROOM, "ann", "x", None, 7, 1), outcomes.append)
    await settle()
    assert outcomes == [Stored(desk.stored[0], repeated=False)]
    assert isinstance(outcomes[0], Stored)
    assert outcomes[0].message.sent_at_us == 7
