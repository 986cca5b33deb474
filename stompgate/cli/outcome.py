"""How a command ends when it does not end well: a sentence on standard error, and a code. Never a traceback."""

from __future__ import annotations

import sys
from typing import NoReturn, TextIO

import click

FAILED = 1
WRONG_SETTINGS = 2
INTERRUPTED = 130
"""As a shell tells of Ctrl-C."""


def say(sentence: str) -> None:
    """Say something that is not the command's output."""
    click.echo(f"stompgate: {sentence}", err=True)


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    """Say why, and end."""
    say(sentence)
    raise SystemExit(code)


def given_input() -> TextIO:
    """Standard input, for a command that needs it."""
    if sys.stdin is None:  # as Python has it where the descriptor is closed
        fail("expected standard input, and it is closed")
    return sys.stdin
