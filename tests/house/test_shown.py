"""What commands print: whatever users call themselves, a table is a table and a terminal is left alone."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import termios
from contextlib import suppress

import pytest
from rich.cells import cell_len

from stompgate.cli.shown import Column, clean, document, duration, table

HOSTILE = [
    "\x1b[2J\x07",
    "a\r\nb\tc",
    "\u202egnp.exe",
    "\x9b31m",
    "\x7f",
    "zero\u200bwidth",
    "\ue000",
    "\ud800",
    "line\u2028end",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_visible_sign_is_written_out(text: str) -> None:
    assert clean(text).isprintable()
    assert clean(text).isascii()
    assert clean(text).encode().decode("unicode_escape") == text


@pytest.mark.parametrize("text", ["김철수", "full　width", "[bold]x[/]", ":smile: 🚲", "no\xa0break", "a\\b"])
def test_what_is_visible_stays(text: str) -> None:
    assert clean(text) == text


def test_json_is_whole_and_holds_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"한글": HOSTILE[:7]}
    document(value)
    said = capsys.readouterr().out
    assert json.loads(said) == value
    assert '"한글"' in said
    assert said.replace("\n", "").isprintable()


def test_a_table_that_is_piped_is_plain_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    table([Column("NAME"), Column("N", number=True)], [["[red]" + "x" * 300, 7], ["김철수", 10]])
    assert capsys.readouterr().out.splitlines()[1].rstrip() == "[red]" + "x" * 300 + "   7"


TABLE = """
from stompgate.cli.shown import Column, table
columns = [Column("ROOM", whole=True), Column("USER"), Column("WHAT"), Column("N", number=True), Column("MADE", wide=True)]
table(columns, [["r" * 36, "사용자" * 20, "b" * 90, 1, "today"], ["r" * 36, "kim", ":smile:", 22, "today"]])
"""


@pytest.mark.parametrize(
    ("columns", "head"), [(80, ["ROOM", "USER", "WHAT", "N"]), (120, ["ROOM", "USER", "WHAT", "N", "MADE"])]
)
def test_a_table_fits_its_terminal_and_its_columns_stand_under_each_other(columns: int, head: list[str]) -> None:
    lines = on_terminal(TABLE, columns)
    assert lines[0].split() == head
    assert all(cell_len(line) <= columns for line in lines)
    assert all(line.startswith("r" * 36 + "  ") for line in lines[1:])
    ends = [cell_len(re.split(r"(?<= N)\b|(?<=  1)\b|(?<= 22)\b", line)[0]) for line in lines]
    assert len(set(ends)) == 1, lines


def on_terminal(program: str, columns: int) -> list[str]:
    """The lines that a program writes to a terminal of that width, without their colours."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen([sys.executable, "-c", program], stdin=theirs, stdout=theirs, env=environment)
    os.close(theirs)
    said = b""
    with suppress(OSError):  # so a terminal ends
        while piece := os.read(ours, 65536):
            said += piece
    os.close(ours)
    assert process.wait(30) == 0
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).splitlines()]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h00m"), (90_000, "25h00m"), (200_000, "2d")],
)
def test_a_duration_is_short(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
