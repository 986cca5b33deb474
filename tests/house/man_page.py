"""Writes the manual page from the commands: ``python -m tests.house.man_page > deploy/man/stompgate.1``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

from stompgate.cli.main import main

HEAD = """\
.\\" Made by tests/house/man_page.py from the commands themselves.
.TH STOMPGATE 1 "" stompgate "User Commands"
.nh
.ad l
.SH NAME
stompgate \\- a standalone STOMP broker daemon for chat
.SH SYNOPSIS
.B stompgate
.I COMMAND
.RI [ OPTION ]...
.SH DESCRIPTION
Web and mobile clients speak STOMP over WebSocket, SockJS or TCP to
.BR "stompgate serve" .
A message sent to a room is stored first, then reaches every subscriber of the room, in order, once, and stays in the history.
By itself it is a complete server with its data in
.IR var/stompgate.db ;
with MySQL, Kafka and Redis any number of servers are one service.
"""

TAIL = """\
.SH ENVIRONMENT
.TP
.B STOMPGATE_CONFIG
The settings file, as \\fB\\-\\-config\\fP.
.TP
.BR STOMPGATE_ \\fIKEY\\fP ", " STOMPGATE_ \\fISECTION\\fP __ \\fIKEY\\fP
Any setting, such as \\fBSTOMPGATE_LISTEN__PORT=8071\\fP. The settings file is below these, options are above.
.TP
.BR STOMPGATE_STORE_FILE ", " STOMPGATE_RELAY_FILE ", " STOMPGATE_SESSIONS_FILE ", " STOMPGATE_MAIL_FILE ", " \
STOMPGATE_OPERATOR__TOKEN_FILE
A file whose first line is the URL or token, so that the secret is in no environment and on no command line.
.TP
.B CREDENTIALS_DIRECTORY
Set by systemd: files in it named like these keys are taken, too.
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Send the clients to other servers, finish what was accepted, end with 0. A second one ends the process at once, which loses
nothing that was acknowledged.
.TP
.B SIGHUP
Read the settings and TLS certificates again. The log says what took effect and what needs a restart. A server that was started
on a terminal ends as by SIGTERM when that is closed; started by \\fBnohup\\fP it goes on.
.SH EXIT STATUS
.TP
.B 0
All went well.
.TP
.B 1
The server could not start, or failed; a running one was not found, or did not do what was asked.
.TP
.B 2
The command line or the settings are wrong; each mistake is said in one line on standard error.
.TP
.B 3
A back-up was put back while the server ran. It is not to be started again before that was seen to.
.TP
.B 130
A command that asks a running server was ended by Ctrl\\-C.
.SH EXAMPLES
.nf
stompgate serve \\-\\-server\\-id chat\\-server\\-1 \\-\\-port 8070
stompgate check\\-config \\-\\-config /etc/stompgate/stompgate.toml
echo \\(aqa long password\\(aq | stompgate hash\\-password
.fi
.SH SEE ALSO
.BR systemctl (1)
.PP
A running server has a page to try it at
.IR http://localhost:8070/test/ ,
its HTTP interface at
.IR /docs ,
its state at
.IR /health/ready ,
its figures at
.IR /metrics .
"""

SHARED_BY = 3
"""An option of so many commands or more is explained once for all of them."""

Options = dict[tuple[str, str], click.Option]


def page(program: click.Group = main) -> str:
    """The whole page of a program."""
    commands = dict(_commands(program, ()))
    options = {name: _options(command) for name, command in commands.items()}
    lines = [HEAD, ".SH COMMANDS\n"]
    sets: dict[tuple[str, ...], Options] = {}
    for name, command in commands.items():
        lines += [f'.SS "{_escaped(_synopsis(name, command))}"\n', _text(command.help or "")]
        for key, option in options[name].items():
            users = tuple(user for user in commands if key in options[user])
            if len(users) < SHARED_BY:
                lines.append(_option(option))
            else:
                sets.setdefault(users, {})[key] = option
    lines.append(".SH OPTIONS\n")
    for users, shared in sets.items():
        lines += [f".SS Of {_escaped(', '.join(users))}\n", *map(_option, shared.values())]
    return "".join([*lines, TAIL])


def _commands(group: click.Group, above: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, those of groups as well."""
    for name in group.list_commands(click.Context(group)):
        command = group.commands[name]
        if isinstance(command, click.Group):
            yield from _commands(command, (*above, name))
        elif not command.hidden:
            yield " ".join((*above, name)), command


def _options(command: click.Command) -> Options:
    found = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {(option.opts[0], option.help or ""): option for option in found}


def _synopsis(name: str, command: click.Command) -> str:
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    words = ["[OPTION]..."] if len(arguments) < len(command.params) else []
    return " ".join(["stompgate", name, *words, *(argument.make_metavar(click.Context(command)) for argument in arguments)])


def _option(option: click.Option) -> str:
    names = ", ".join(f"\\fB{_escaped(name)}\\fP" for name in (*option.opts, *option.secondary_opts))
    kind = option.make_metavar(click.Context(main)).removesuffix(" RANGE")
    takes = "" if option.is_flag else f" \\fI{_escaped(kind)}\\fP"
    default = f" By default {option.default}." if option.show_default and not option.is_flag else ""
    return f".TP\n{names}{takes}\n{_line((option.help or '') + default)}\n"


def _text(words: str) -> str:
    """Help as paragraphs; one that begins with click's mark for it keeps its lines."""
    shown = []
    for paragraph in re.split(r"\n\s*\n", cleandoc(words)):
        if paragraph.startswith("\b"):
            shown.append(".nf\n" + "".join(f"{_line(line)}\n" for line in paragraph.splitlines()[1:]) + ".fi\n")
        else:
            shown.append(_line(" ".join(paragraph.split())) + "\n")
    return ".PP\n".join(shown)


def _line(words: str) -> str:
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fP", _escaped(words))


def _escaped(words: str) -> str:
    """Signs that mean something to roff, as themselves."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


if __name__ == "__main__":
    print(page(), end="")
