"""How a command asks a running server: which one is meant by its options and settings, and what is said when it is not done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from stompgate.config import FILE_LIMIT_BYTES, Settings
from stompgate.operator_place import SERVICES, chosen, here, objection
from stompgate.settings import NO_SOCKET

from .outcome import INTERRUPTED, WRONG_SETTINGS, fail
from .settings_options import Command, config_option, settings_of

if TYPE_CHECKING:
    from .server_link import Way

_FINDING = ("server_id", "config", "socket", "url", "token_file", "as_json")


def asking(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command that is given a link to the server, and says in one line what is not done."""

    def made(act: Callable[..., None]) -> click.Command:
        @wraps(act)
        def run(
            *,
            socket: Path | None,
            url: str | None,
            token_file: Path | None,
            server_id: str | None,
            config: Path | None,
            **others: Any,
        ) -> None:
            from .server_link import NotDone, ServerLink
            from .shown import clean, fit_to_terminal

            if sys.stdout is None:  # as Python has it where the descriptor is closed
                fail("the output cannot be written: standard output is closed")
            fit_to_terminal()
            try:
                act(ServerLink(_way(socket, url, token_file, config, server_id)), **others)
            except NotDone as error:
                fail(clean(error))
            except UnicodeError:
                fail("expected text in the locale's encoding, as UTF-8", WRONG_SETTINGS)
            except BrokenPipeError:
                raise  # whoever read the output has left, and click says nothing
            except OSError as error:
                fail(f"the output cannot be written: {error.strerror}")
            except KeyboardInterrupt:
                raise SystemExit(INTERRUPTED) from None

        command = click.command(name)(_server_options(run))
        command.params.sort(key=lambda parameter: parameter.name in _FINDING)  # what is the command's own comes first
        return command

    return made


def _server_options(command: Command) -> Command:
    """The options by which a server is found, and the one for programs."""
    for option in reversed(
        (
            click.option("--server-id", metavar="ID", help="Name of the server on this machine."),
            click.option("--socket", metavar="FILE", type=click.Path(path_type=Path), help="Its operator's socket."),
            click.option(
                "--url", metavar="URL", help="Or its address, like https://chat.example.org, to be asked with the token."
            ),
            click.option(
                "--token-file", metavar="FILE", type=click.Path(path_type=Path), help="File with the token, for --url."
            ),
            click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        )
    ):
        command = option(command)
    return config_option(command)


def _way(socket: Path | None, url: str | None, token_file: Path | None, config: Path | None, server_id: str | None) -> Way:
    from .server_link import Way

    if socket is not None and url is not None:
        fail("expected either --socket or --url, not both", WRONG_SETTINGS)
    if socket is not None:
        return Way(socket=socket)
    if url is not None:
        _check_url(url)
        token = _token(token_file) if token_file is not None else _settings(config, server_id).operator.token.get_secret_value()
        if not token:
            fail("--url: expected --token-file, or operator.token in the settings", WRONG_SETTINGS)
        return Way(url=url, token=token)
    if token_file is not None:
        fail("--token-file: expected --url as well", WRONG_SETTINGS)
    return Way(socket=_socket(_settings(config, server_id)))


def _settings(config: Path | None, server_id: str | None) -> Settings:
    return settings_of(config, {"server_id": server_id})


def _socket(settings: Settings) -> Path:
    named = settings.operator.socket
    if named == NO_SOCKET:
        fail("the settings open no operator's socket; --url asks over the network")
    if named:
        return Path(named)
    own, places = chosen(settings.server_id, os.environ), here(os.environ)
    place = places.get(settings.server_id)
    if place is None:
        others = f"only {', '.join(places)}" if places else f"neither at {own} nor among the services in {SERVICES}"
        fail(f"no server {settings.server_id} is found here, {others}; --server-id, --socket or --url names another")
    if place == own and (reason := objection(place)):
        fail(reason)
    return place


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not url.isprintable():
        fail("--url: expected http:// or https:// and a host, and no login in it", WRONG_SETTINGS)


def _token(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            token = stream.read(FILE_LIMIT_BYTES).decode("ascii").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError):
        fail("--token-file: expected a file that can be read, with the token in it", WRONG_SETTINGS)
    if not token.isprintable() or not token:
        fail("--token-file: expected the token on the first line", WRONG_SETTINGS)
    return token
