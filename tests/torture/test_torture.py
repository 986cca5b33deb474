"""The short form of the torture, and that its verdict can be guilty. ``make proof`` runs the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from .record import Record, RoomRecord, complaints
from .run import Plan, run

STORED = [(1, "a:1"), (2, "b:1"), (3, "a:2")]


async def test_nothing_is_lost_or_doubled_while_the_daemon_is_killed_and_clients_drop(tmp_path: Path) -> None:
    record, wrong = await run(Plan(seed=7, kills=4, drops=40), tmp_path, print)
    assert wrong == []
    assert record.kills == 4
    assert record.drops == 40
    assert record.recoveries > 40


def test_a_run_without_loss_has_no_complaints() -> None:
    record = Record({"room": RoomRecord(["a:1", "a:2", "b:1"], {"receiver": list(STORED)})})
    assert complaints(record, {"room": STORED}) == []


@pytest.mark.parametrize(
    ("receipted", "stored", "seen", "said"),
    [
        (["a:1", "a:3"], STORED, STORED, "RECEIPTed and not in the history"),
        (["a:1"], [*STORED, (4, "a:1")], [*STORED, (4, "a:1")], "twice in the history"),
        (["a:1"], [(1, "a:1"), (3, "a:2")], [(1, "a:1"), (3, "a:2")], "the numbers have gaps"),
        (["a:1"], STORED, STORED[:2], "missed [3]"),
        (["a:1"], STORED, [*STORED, STORED[1]], "saw twice [2]"),
        (["a:1"], STORED, [STORED[1], STORED[0], STORED[2]], "out of order"),
        (["a:1"], STORED, [STORED[0], (2, "other"), STORED[2]], "missed [] (0), saw twice [] (0), in order"),
    ],
)
def test_every_broken_promise_is_named(
    receipted: list[str], stored: list[tuple[int, str]], seen: list[tuple[int, str]], said: str
) -> None:
    record = Record({"room": RoomRecord(receipted, {"receiver": seen})})
    assert any(said in sentence for sentence in complaints(record, {"room": stored}))


def test_an_answer_that_recovery_failed_is_a_complaint() -> None:
    assert complaints(Record(unrecovered=1), {}) == ["1 answers said recovered:false"]
