"""The short forms of the torture, and that its verdict can be guilty. ``make proof`` runs the long forms."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .queues import QueueRecord
from .record import REMOVAL_GRACE_S, Chain, Record, RoomRecord, Seen, Sent
from .run import Plan, run

TRANSACTIONS = {f"transactions {end}": 1 for end in ("receipted", "aborted", "left open")}
HISTORY = [(1, "a.1"), (2, "b.1"), (3, "a.2")]


async def test_nothing_is_lost_or_doubled_while_the_daemon_is_killed_and_clients_drop(tmp_path: Path) -> None:
    least = {"receipts": 100, "recovered:true": 10, "queue receipts": 50, "queue messages redelivered": 1, **TRANSACTIONS}
    plan = Plan(seed=7, minutes=0.2, servers=0, rooms=3, trouble_every_s=1.0, drop_every_s=0.3, delete_every_s=4.0, least=least)
    record = await run(plan, tmp_path, print)
    assert record.complaints == []
    assert sum(record.troubles.values()) > 5


async def test_nothing_is_lost_or_doubled_on_two_servers_while_everything_is_killed_and_cut(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # it takes longer than a test that hangs
    least = {"receipts": 500, "recovered:true": 100, "queue receipts": 500, "queue messages redelivered": 50}
    plan = Plan(seed=7, minutes=2.0, least={**least, **TRANSACTIONS, "transactions refused": 1})
    record = await run(plan, tmp_path, print)
    assert record.complaints == []
    assert sum(record.troubles.values()) > 100


# The verdict


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def room(record: Record) -> RoomRecord:
    record.rooms["room"] = RoomRecord("room")
    return record.rooms["room"]


def seen(seq: int, content: str | None = None) -> Seen:
    return Seen(seq, content or f"a.{seq}", f"epoch.{seq}.mark")


def receipted(record: Record, room: RoomRecord, *contents: str, times: int = 1, life: int = 1) -> None:
    for content in contents:
        record.receipted(room, Sent(content, life, time.monotonic(), times))


def begun_chain(record: Record, room: RoomRecord, at: int = 0) -> Chain:
    chain = Chain(record, room, "receiver")
    chain.begins()
    chain.begun(None, f"epoch.{at}.mark")
    return chain


def test_a_run_without_loss_has_no_complaints(record: Record, room: RoomRecord) -> None:
    receipted(record, room, "a.1", "b.1", "a.2")
    chain = begun_chain(record, room)
    for seq, content in HISTORY:
        chain.given(seen(seq, content))
    chain.begins()
    chain.begun("true", "epoch.3.mark")
    record.judge(room, HISTORY)
    assert record.complaints == []


@pytest.mark.parametrize(
    ("history", "said"),
    [
        (HISTORY[:2], "1 lost: RECEIPTed and not in the history: ['a.2']"),
        ([*HISTORY, (4, "a.1")], "1 doubled: twice in the history: ['a.1']"),
        ([(1, "a.1"), (2, "b.1"), (4, "a.2")], "the numbers of the history are not 1, 2, 3"),
        ([(1, "a.1"), (2, "a.2"), (3, "b.1")], "2 were delivered and are not so in the history"),
        ([(1, "a.2"), (2, "b.1"), (3, "a.1")], "connection 1 of a are not in the order in which they were sent"),
    ],
)
def test_a_wrong_history_is_named(record: Record, room: RoomRecord, history: list[tuple[int, str]], said: str) -> None:
    receipted(record, room, "a.1", "b.1", "a.2")
    for seq, content in HISTORY:
        record.given(room, "receiver", seen(seq, content))
    record.judge(room, history)
    assert any(said in sentence for sentence in record.complaints)


def test_the_order_of_what_was_sent_again_is_not_judged(record: Record, room: RoomRecord) -> None:
    receipted(record, room, "a.1", "a.2", times=2)
    record.judge(room, [(1, "a.2"), (2, "a.1")])
    assert record.complaints == []


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (lambda chain: [chain.given(seen(2)), chain.given(seen(2))], "2 after 2: twice, or out of order"),
        (lambda chain: [chain.given(seen(2)), chain.given(seen(1))], "1 after 2: twice, or out of order"),
        (lambda chain: chain.given(seen(3)), "3 after 1: a hole"),
        (lambda chain: chain.begun("true", "epoch.1.mark"), "two RECEIPTs for one SUBSCRIBE"),
        (lambda chain: [chain.begins(), chain.begun("true", "epoch.2.mark")], "told that it is at 2, and was given 1"),
        (lambda chain: [chain.begins(), chain.begun("false", "epoch.2.mark")], "told recovered:false"),
        (lambda chain: [chain.begins(), chain.begun(None, "epoch.2.mark")], "not told whether that was whole"),
    ],
)
def test_a_wrong_delivery_is_named(record: Record, room: RoomRecord, happens: Callable[[Chain], object], said: str) -> None:
    happens(begun_chain(record, room, at=1))
    assert any(said in sentence for sentence in record.complaints)


def test_a_message_before_the_first_receipt_is_named(record: Record, room: RoomRecord) -> None:
    Chain(record, room, "receiver").given(seen(1))
    assert any("before it was told where it begins" in sentence for sentence in record.complaints)


def test_two_orders_of_one_room_are_named(record: Record, room: RoomRecord) -> None:
    record.given(room, "one", seen(1, "a.1"))
    record.given(room, "other", seen(1, "b.1"))
    assert any("where another was given" in sentence for sentence in record.complaints)


def test_what_comes_after_a_removal_is_named(record: Record, room: RoomRecord) -> None:
    room.gone_s = time.monotonic() - REMOVAL_GRACE_S - 1
    receipted(record, room, "a.1")
    record.given(room, "receiver", seen(1))
    assert any("first sent after the room's removal was answered" in sentence for sentence in record.complaints)
    assert any("long after the room's removal was answered" in sentence for sentence in record.complaints)


def test_a_room_that_nobody_deleted_and_is_said_to_be_gone_is_named(record: Record, room: RoomRecord) -> None:
    record.refused(room, "sender", "no-such-room")
    room.doomed = True
    record.refused(room, "sender", "no-such-room")
    assert len(record.complaints) == 1


TOGETHER = [("room", "a.1-1"), ("annex", "a.1-2"), ("room", "a.1-3")]


@pytest.mark.parametrize(
    ("room", "annex", "said"),
    [
        (["b.1", "a.1-1", "a.1-3"], ["a.1-2"], ""),
        (["b.1"], [], ""),
        (None, ["a.1-2"], ""),
        (["a.1-1", "a.1-3"], None, ""),
        (["a.1-1", "b.1"], None, "1 of 2 messages of a transaction are stored"),
        (["a.1-1", "a.1-3"], [], "2 of 3 messages of a transaction are stored"),
        (["a.1-1", "b.1", "a.1-3"], ["a.1-2"], "not one sequence in each of its rooms"),
        (["a.1-3", "a.1-1"], ["a.1-2"], "not one sequence in each of its rooms"),
    ],
)
def test_a_transaction_that_was_split_is_named(
    record: Record, room: list[str] | None, annex: list[str] | None, said: str
) -> None:
    told = {"room": room, "annex": annex}
    rooms = {uuid: RoomRecord(uuid) for uuid in told}
    record.transactions.append([(rooms[uuid], content) for uuid, content in TOGETHER])
    record.judge_transactions({uuid: list(enumerate(found, 1)) if found is not None else None for uuid, found in told.items()})
    assert len(record.complaints) == bool(said)
    assert all(said in sentence for sentence in record.complaints)


def test_a_message_of_a_transaction_that_was_aborted_is_named(record: Record, room: RoomRecord) -> None:
    room.never.add("a.2")
    record.judge(room, HISTORY)
    assert any("1 of transactions that did not take effect are in the history: ['a.2']" in said for said in record.complaints)


@pytest.mark.parametrize(
    ("fresh", "given", "said"),
    [
        ({"a"}, {"a"}, "1 lost: RECEIPTed and given to nobody: ['b']"),
        ({"a", "b"}, {"a", "b", "c"}, "1 given and never sent: ['c']"),
        ({"a", "b"}, {"a", "b"}, ""),
        ({"a"}, {"a", "b"}, ""),
    ],
)
def test_what_a_queue_lost_or_made_up_is_named(record: Record, fresh: set[str], given: set[str], said: str) -> None:
    queue = QueueRecord("queue", sent={"a", "b", "x"}, receipted={"a", "b"})
    queue.given.update(given)
    queue.fresh.update(fresh)
    queue.judge(record)
    assert [sentence.removeprefix("queue: ") for sentence in record.complaints] == ([said] if said else [])


def test_what_a_queue_gave_twice_without_a_word_is_named(record: Record) -> None:
    queue = QueueRecord("queue", sent={"a"}, receipted={"a"})
    queue.given["a"], queue.fresh["a"] = 3, 2
    queue.judge(record)
    assert record.complaints == ["queue: 1 given twice without redelivered:true: ['a']"]
    assert record.counts["doubled"] == 1
