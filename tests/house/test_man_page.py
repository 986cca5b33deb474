"""The manual page: what the commands say, in a form that readers of manual pages take."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click

from stompgate.cli.main import main
from tests.requirements import require_program

from .man_page import page

PAGE = Path(__file__).parents[2] / "deploy" / "man" / "stompgate.1"


def shown(text: str, *words: str) -> str:
    """What mandoc makes of a page."""
    command = [require_program("mandoc"), *words]
    made = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False).stdout
    return re.sub(r".\x08", "", made)  # bold and underlined is what is written twice in one place


def test_every_command_and_option_can_be_read() -> None:
    read = shown(PAGE.read_text(), "-T", "utf8", "-O", "width=200")
    names = [f"stompgate {name}" for name in main.commands]
    options = [
        name for command in main.commands.values() for parameter in command.params for name in parameter.opts if "-" in name
    ]
    assert len(names) > 4
    assert [name for name in [*names, *options] if name not in read] == []


def test_nothing_is_wrong_with_it_but_that_it_has_no_date() -> None:
    said = shown(PAGE.read_text(), "-T", "lint", "-W", "warning").splitlines()
    assert [line for line in said if "missing date" not in line] == []


def test_commands_in_groups_with_arguments_and_flags_stand_in_it_whatever_signs_their_help_has() -> None:
    @click.group()
    def program() -> None: ...

    @program.group()
    def rooms() -> None: ...

    @rooms.command("list")
    @click.argument("user")
    @click.option("--json/--table", default=False, help="A line each.")
    def list_rooms() -> None:
        """.dots and \\ and `code`

        \b
        keeps
          its lines
        """

    read = shown(page(program), "-T", "utf8")
    for words in (
        "stompgate rooms list [OPTION]... USER",
        "--json, --table",
        ".dots and \\ and code",
        "keeps\n         its lines",
    ):
        assert words in read
    assert shown(page(program), "-T", "lint", "-W", "error") == ""
