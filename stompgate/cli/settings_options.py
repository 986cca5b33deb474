"""The options that settings are made from, and the settings that they and everything else make."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from stompgate.config import CONFIG_VARIABLE, KeyPath, Settings, SettingsError, load, option_name

from .outcome import WRONG_SETTINGS, say

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
    return config_option(command)


def config_option(command: Command) -> Command:
    """Give a command the option that names the settings file."""
    return click.option(
        "--config",
        "config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        help=f"Settings file (TOML); {CONFIG_VARIABLE} names one as well.",
    )(command)


def given(options: dict[str, str | None]) -> dict[KeyPath, str]:
    """The options that were on the command line, by key."""
    return {tuple(name.split("__")): text for name, text in options.items() if text is not None}


def settings_of(config: Path | None, options: dict[str, str | None]) -> Settings:
    """The settings of a command. With mistakes in them it ends, naming every one."""
    try:
        return load(file=config, environment=os.environ, options=given(options))
    except SettingsError as error:
        for sentence in error.sentences:
            say(sentence)
        raise SystemExit(WRONG_SETTINGS) from None
