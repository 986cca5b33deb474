"""What is promised holds through any order of events: a sample of random schedules, and those that broke a promise once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .schedule import run_schedule
from .world import Figures

_PARTS, _SCHEDULES_PER_PART = 10, 25


def _kept_seeds() -> list[int]:
    lines = (Path(__file__).parent / "seeds.txt").read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("part", range(_PARTS))
def test_no_schedule_breaks_a_promise(part: int) -> None:
    total = Figures()
    for n in range(_SCHEDULES_PER_PART):
        total.add(run_schedule(1 + part * _SCHEDULES_PER_PART + n))
    assert min(total.stored, total.receipts, total.delivered, total.recovered) > 0
    assert min(total.crashes, total.sent_again, total.pruned) > 0


@pytest.mark.parametrize("prunes", [False, True])
@pytest.mark.parametrize("seed", _kept_seeds())
def test_schedules_that_broke_a_promise_once_keep_it(seed: int, prunes: bool) -> None:
    run_schedule(seed, prunes=prunes)


def test_a_seed_always_gives_the_same_schedule() -> None:
    traces: list[list[str]] = []
    figures: list[Figures] = []
    for _ in range(2):
        traces.append([])
        figures.append(run_schedule(17, traces[-1]))
    assert traces[0] == traces[1]
    assert figures[0] == figures[1]
    assert len(traces[0]) > 10
