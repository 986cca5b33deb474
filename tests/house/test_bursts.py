"""A storm of equal lines becomes the first of them and one that counts the rest; whatever else is said is written."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
import structlog

from stompgate.bursts import EVENT, BurstLimits, Bursts
from stompgate.logs import configure
from stompgate.settings import Log
from tests.fakes import FakeClock

LINES = 5
WINDOW_S = 10.0


class Storm:
    """Loggers whose lines go through a filter with a clock of the test's. ``written``: what it let through."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.written: list[logging.LogRecord] = []
        self.bursts = Bursts(BurstLimits(LINES, WINDOW_S), self.clock, self.written.append)

    def say(self, event: str = "connection closed", level: int = logging.INFO, name: str = "a", **fields: Any) -> None:
        """A line of ours."""
        self._come(logging.LogRecord(name, level, "", 0, {"event": event, **fields}, None, None))

    def library_says(self, text: str, *values: object, level: int = logging.INFO) -> None:
        self._come(logging.LogRecord("library", level, "", 0, text, values, None))

    def fail(self, error: Exception) -> None:
        """A mistake that is logged with its traceback."""
        try:
            raise error
        except type(error) as raised:
            self.say("it broke", logging.ERROR, exc_info=raised)

    def _come(self, record: logging.LogRecord) -> None:
        if self.bursts.filter(record):
            self.written.append(record)

    @property
    def sums(self) -> list[dict[str, Any]]:
        """What was summed up."""
        return [record.__dict__ for record in self.written if record.msg == EVENT]

    @property
    def lines(self) -> int:
        """How many lines were written, but for sums."""
        return len(self.written) - len(self.sums)


@pytest.fixture
def storm() -> Storm:
    return Storm()


def test_the_first_lines_are_written_and_the_rest_is_told_when_the_window_ends(storm: Storm) -> None:
    for n in range(LINES + 3):
        storm.say(cause="peer-left", connection=f"c{n}", user="kim", lasted_s=n)
        storm.clock.advance(1)
    assert (storm.lines, storm.sums) == (LINES, [])
    storm.clock.advance(WINDOW_S)
    (told,) = storm.sums
    assert (told["of"], told["cause"], told["repeated"], told["over_s"]) == ("connection closed", "peer-left", 3, 7)
    assert (told["name"], told["levelname"]) == ("a", "INFO")
    assert told["first"] == {"connection": "c5", "user": "kim"}
    assert told["last"] == {"connection": "c7", "user": "kim"}


def test_a_window_that_is_over_is_told_also_if_its_alarm_is_late(storm: Storm) -> None:
    for _ in range(LINES + 1):
        storm.say()
    storm.clock.stand_still(WINDOW_S)
    storm.say()
    assert (storm.lines, [told["repeated"] for told in storm.sums]) == (LINES + 1, [1])
    storm.clock.advance(10 * WINDOW_S)
    assert len(storm.sums) == 1


def test_what_comes_no_faster_than_the_limit_is_written_for_ever(storm: Storm) -> None:
    for _ in range(1000):
        storm.say(cause="peer-left")
        storm.clock.advance(WINDOW_S / LINES)
    assert (storm.lines, storm.sums) == (1000, [])


@pytest.mark.parametrize(
    "other", [{"cause": "slow-consumer"}, {"event": "refused"}, {"name": "b"}, {"level": logging.WARNING}], ids=lambda o: str(o)
)
def test_a_storm_does_not_hide_what_is_of_another_kind(storm: Storm, other: dict[str, Any]) -> None:
    for _ in range(100):
        storm.say(cause="peer-left")
    storm.say(**{"cause": "peer-left", **other})
    assert storm.lines == LINES + 1


def test_errors_that_differ_are_all_written(storm: Storm) -> None:
    for n in range(100):
        storm.say("the relay refused it", logging.ERROR, reason=f"reason {n}")
        storm.library_says("no %s", n, level=logging.ERROR)
    storm.fail(ValueError())
    storm.fail(KeyError())
    assert storm.lines == 202


def test_errors_that_are_equal_but_for_whose_they_are_are_summed_up(storm: Storm) -> None:
    for n in range(100):
        storm.fail(ValueError(n))
        storm.say("the relay refused it", logging.ERROR, reason="too large", room=f"r{n}", message=f"m{n}")
        storm.library_says("no %s", "more", level=logging.ERROR)
    storm.clock.advance(WINDOW_S)
    assert storm.lines == 3 * LINES
    assert [told["repeated"] for told in storm.sums] == [100 - LINES] * 3


def test_lines_of_libraries_are_summed_up_by_their_template(storm: Storm) -> None:
    for n in range(100):
        storm.library_says("connection %d lost", n)
    storm.bursts.tell()
    assert storm.lines == LINES
    (told,) = storm.sums
    assert (told["of"], told["repeated"], "first" in told) == ("connection %d lost", 95, False)


def test_kinds_without_end_take_no_memory_without_end_and_lose_nothing(storm: Storm) -> None:
    for n in range(3000):
        for _ in range(LINES + 1):
            storm.say(cause=f"c{n}")
    assert len(storm.bursts._windows) <= 1000
    storm.bursts.tell()
    assert storm.lines + sum(told["repeated"] for told in storm.sums) == 3000 * (LINES + 1)


def test_what_may_be_the_last_line_is_written_behind_all_that_was_counted(storm: Storm) -> None:
    for _ in range(100):
        storm.say()
    storm.say("stopped at once", logging.CRITICAL)
    assert storm.written[-1].levelno == logging.CRITICAL
    assert storm.written[-2].__dict__["repeated"] == 100 - LINES


# As the program has it


@pytest.fixture
def configured() -> Iterator[Callable[..., io.StringIO]]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def make(**settings: Any) -> io.StringIO:
        stream = io.StringIO()
        configure(Log.model_validate({"burst_lines": LINES, **settings}), stream)
        return stream

    yield make
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_threads_are_counted_together_and_told_when_the_log_is_set_up_anew(configured: Callable[..., io.StringIO]) -> None:
    stream = configured(burst_s=600)

    def say() -> None:
        for _ in range(200):
            structlog.get_logger("x").warning("it is full", connection="c")

    threads = [Thread(target=say) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events(stream)) == LINES
    configured()
    last = events(stream)[-1]
    assert (last["event"], last["repeated"], last["level"], last["logger"]) == (EVENT, 1000 - LINES, "warning", "x")
    assert last["first"] == last["last"] == {"connection": "c"}
    assert last["time"].endswith("Z")


def test_nothing_is_summed_up_where_that_is_switched_off(configured: Callable[..., io.StringIO]) -> None:
    stream = configured(burst_lines=0)
    for _ in range(1000):
        structlog.get_logger().info("again")
    assert len(events(stream)) == 1000


PROGRAM = """
import structlog
from stompgate.logs import configure
from stompgate.settings import Log

configure(Log(burst_lines=2, burst_s={burst_s}))
for _ in range(9):
    structlog.get_logger("x").info("again")
{then}
"""


@pytest.mark.parametrize(
    ("burst_s", "then"),
    [(600, ""), (0.05, "import sys; sys.stdin.read()")],
    ids=["at its end", "while it does something else"],
)
def test_a_process_without_an_event_loop_tells_the_sum(burst_s: float, then: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(burst_s=burst_s, then=then)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines = [json.loads(process.stderr.readline()) for _ in range(3)]
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert [line["event"] for line in lines] == ["again", "again", EVENT]
    assert lines[2]["repeated"] == 7
