"""How a command ends when it does not end well: a sentence on standard error, and a code. Never a traceback."""

from __future__ import annotations

from typing import NoReturn

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
