"""The command ``stompgate``.

Exit codes: 0 when all went well; 1 when the server could not start or failed, or when a running one was not found or did
not do what was asked; 2 when the command line or the settings are wrong; 3 when a back-up was put back under the server;
130 when a command that asks a running one was ended by Ctrl-C. Every error is said in one line each on standard error,
never as a traceback.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import click

from stompgate import __version__
from stompgate.config import load, shipped_config
from stompgate.ports.part import SetupError

from .operator import COMMANDS
from .outcome import WRONG_SETTINGS, fail, given_input
from .settings_options import given, settings_of, settings_options


class Sections(click.Group):
    """Shows the commands in the order of their making, those for a running server apart."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """The names of all."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write them into the help."""
        for title, holds in (("Commands", False), ("A running server", True)):
            found = {name: command for name, command in self.commands.items() if (command in COMMANDS) is holds}
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(200)) for name, command in found.items()])


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stompgate", message="%(prog)s %(version)s")
def main() -> None:
    """A standalone STOMP broker daemon for chat."""


@main.command()
@settings_options
def serve(config: Path | None, **options: str | None) -> None:
    """Run a server until SIGTERM or Ctrl-C."""
    environment = dict(os.environ)
    settings = settings_of(config, options)
    # Imported only here: the other commands need none of it and answer at once.
    from stompgate.daemon import run

    try:
        code = run(settings, lambda: load(file=config, environment=environment, options=given(options)))
    except SetupError as error:
        fail(str(error))
    raise SystemExit(code)


@main.command()
@click.argument("file", type=click.Path(path_type=Path), default="stompgate.toml")
def init(file: Path) -> None:
    """Write a settings file with every setting, its default and what it means: stompgate.toml, or FILE.

    Nothing in it is set; a file that is there already is left as it is.
    """
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write((shipped_config() / "stompgate.toml").read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    click.echo(f"wrote {file}; stompgate serve --config {shlex.quote(str(file))} runs a server with it")


@main.command("check-config")
@settings_options
def check_config(config: Path | None, **options: str | None) -> None:
    """Check the settings as `serve` would, and print what is in force, or every mistake."""
    settings = settings_of(config, options)
    click.echo(_as_toml(settings.redacted()))
    click.echo("# ok")


@main.command("new-epoch")
@settings_options
def new_epoch(config: Path | None, **options: str | None) -> None:
    """End a restore: say that the store holds a back-up that was put back.

    To be run while no server runs. Clients that come back with a position from before are told that it is of another
    life, instead of being given what it does not mean.
    """
    settings = settings_of(config, options)
    from stompgate.new_life import begin

    try:
        old, new = begin(settings)
    except SetupError as error:
        fail(str(error))
    click.echo(f"store {settings.redacted()['store']}: the epoch was {old} and is {new}")


@main.command("hash-password")
def print_hash() -> None:
    """Read a password and print its hash, as a line of auth.users_file takes it behind the name and a colon.

    On a terminal it is asked for twice and not shown; else the first line of standard input is taken.
    """
    from stompgate.auth.users_file import hash_password

    stream = given_input()
    if stream.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = stream.readline().rstrip("\n")
    if not password:
        fail("expected a password", WRONG_SETTINGS)
    click.echo(hash_password(password))


for running in COMMANDS:
    main.add_command(running)


def _as_toml(tree: dict[str, Any]) -> str:
    sections = {key: value for key, value in tree.items() if isinstance(value, dict)}
    lines = [f"{key} = {_value(value)}" for key, value in tree.items() if key not in sections]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in section.items())]
    return "\n".join(lines)


def _value(value: object) -> str:
    # Texts, numbers, true, false and lists of texts are written alike in JSON and in TOML.
    return json.dumps(value, ensure_ascii=False)
