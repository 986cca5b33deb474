"""The command ``stompgate``.

Exit codes: 0 when all went well; 1 when the server could not start or failed; 2 when the command line or the settings
are wrong. Every error is said in one line each on standard error, never as a traceback.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stompgate import __version__
from stompgate.config import CONFIG_VARIABLE, KeyPath, Settings, SettingsError, load, option_name, shipped_config
from stompgate.ports.part import SetupError

FAILED = 1
WRONG_SETTINGS = 2

OPTIONS: dict[KeyPath, tuple[str, str]] = {
    ("profile",): ("NAME", "Set of defaults to begin with: standard or legacy."),
    ("server_id",): ("ID", "Name of this server in its group."),
    ("listen", "host"): ("HOST", "Name or address to listen on."),
    ("listen", "port"): ("PORT", "Port to listen on; 0 takes a free one and prints it."),
    ("listen", "tls_certificate"): ("FILE", "Certificate chain (PEM)."),
    ("listen", "tls_key"): ("FILE", "Private key (PEM)."),
    ("tcp", "port"): ("PORT", "Port for STOMP over TCP, 61613 by custom; 0 takes a free one; -1, the default, opens none."),
    ("store",): ("URL", "Where rooms and messages are kept."),
    ("relay",): ("URL", "How servers of a group tell each other."),
    ("sessions",): ("URL", "Where it is kept who is connected."),
    ("mail",): ("URL", "Where inquiries are mailed."),
}

Command = Callable[..., None]


def settings_options(command: Command) -> Command:
    """Give a command the options that settings are made from."""
    for path, (metavar, text) in reversed(OPTIONS.items()):
        command = click.option(option_name(path), "__".join(path), metavar=metavar, help=text)(command)
    return click.option(
        "--config",
        "config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        help=f"Settings file (TOML); {CONFIG_VARIABLE} names one as well.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stompgate", message="%(prog)s %(version)s")
def main() -> None:
    """A standalone STOMP broker daemon for chat."""


@main.command()
@settings_options
def serve(config: Path | None, **options: str | None) -> None:
    """Run a server until SIGTERM or Ctrl-C."""
    environment = dict(os.environ)
    settings = _load(config, options)
    # Imported only here: the other commands need none of it and answer at once.
    from stompgate.daemon import run

    try:
        code = run(settings, lambda: load(file=config, environment=environment, options=_given(options)))
    except SetupError as error:
        _say(str(error))
        code = FAILED
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
        _say(f"{file} cannot be written: {error.strerror}")
        raise SystemExit(FAILED) from None
    click.echo(f"wrote {file}; stompgate serve --config {shlex.quote(str(file))} runs a server with it")


@main.command("check-config")
@settings_options
def check_config(config: Path | None, **options: str | None) -> None:
    """Check the settings as `serve` would, and print what is in force, or every mistake."""
    settings = _load(config, options)
    click.echo(_as_toml(settings.redacted()))
    click.echo("# ok")


@main.command("new-epoch")
@settings_options
def new_epoch(config: Path | None, **options: str | None) -> None:
    """End a restore: say that the store holds a back-up that was put back.

    To be run while no server runs. Clients that come back with a position from before are told that it is of another
    life, instead of being given what it does not mean.
    """
    settings = _load(config, options)
    from stompgate.new_life import begin

    try:
        old, new = begin(settings)
    except SetupError as error:
        _say(str(error))
        raise SystemExit(FAILED) from None
    click.echo(f"store {settings.redacted()['store']}: the epoch was {old} and is {new}")


@main.command("hash-password")
def print_hash() -> None:
    """Read a password and print its hash, as a line of auth.users_file takes it behind the name and a colon.

    On a terminal it is asked for twice and not shown; else the first line of standard input is taken.
    """
    from stompgate.auth.users_file import hash_password

    stream = sys.stdin
    if stream.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = stream.readline().rstrip("\n")
    if not password:
        _say("expected a password")
        raise SystemExit(WRONG_SETTINGS)
    click.echo(hash_password(password))


def _given(options: dict[str, str | None]) -> dict[KeyPath, str]:
    """The options that were on the command line, by key."""
    return {tuple(name.split("__")): text for name, text in options.items() if text is not None}


def _load(config: Path | None, options: dict[str, str | None]) -> Settings:
    try:
        return load(file=config, environment=os.environ, options=_given(options))
    except SettingsError as error:
        for sentence in error.sentences:
            _say(sentence)
        raise SystemExit(WRONG_SETTINGS) from None


def _say(sentence: str) -> None:
    click.echo(f"stompgate: {sentence}", err=True)


def _as_toml(tree: dict[str, Any]) -> str:
    sections = {key: value for key, value in tree.items() if isinstance(value, dict)}
    lines = [f"{key} = {_value(value)}" for key, value in tree.items() if key not in sections]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in section.items())]
    return "\n".join(lines)


def _value(value: object) -> str:
    # Texts, numbers, true, false and lists of texts are written alike in JSON and in TOML.
    return json.dumps(value, ensure_ascii=False)
