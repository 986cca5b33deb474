"""The commands for whoever looks after a running server: look in, send, have it go down."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from .asking import asking
from .outcome import WRONG_SETTINGS, fail, given_input, say

if TYPE_CHECKING:
    from .server_link import ServerLink

_POLL_S = 0.5


# Looking


@asking("sessions")
@click.option("--user", metavar="USER", help="Only those of this user.")
@click.option("--group", is_flag=True, help="The users of all servers of the group instead.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many are shown at most.")
def sessions(link: ServerLink, *, user: str | None, group: bool, limit: int, as_json: bool) -> None:
    """Show who is connected, the oldest connection first.

    IN: frames that came. OUT: messages that it was given. WAITS: bytes that wait for a slow reader. STORE: messages that
    wait for the store.
    """
    from . import shown

    if group:
        _group(link, user, as_json=as_json)
        return
    answer = link.get("/sessions", user=user, limit=limit)
    if as_json:
        shown.document(answer)
        return
    columns = (
        shown.Column("USER"),
        shown.Column("BY", whole=True),
        shown.Column("FROM"),
        shown.Column("FOR", number=True),
        shown.Column("SUBS", number=True),
        shown.Column("WAITS", number=True),
        shown.Column("STORE", number=True),
        shown.Column("IN", number=True, wide=True),
        shown.Column("OUT", number=True, wide=True),
        shown.Column("STOMP", wide=True),
        shown.Column("SESSION", whole=True, wide=True),
    )
    rows = [
        (
            _or_dash(one["user"]),
            one["transport"],
            one["address"],
            shown.duration(one["connectedForS"]),
            one["subscriptions"],
            one["waitingBytes"],
            one["inFlight"],
            one["framesIn"],
            one["delivered"],
            one["stompVersion"],
            _or_dash(one["sessionId"]),
        )
        for one in answer["sessions"]
    ]
    shown.table(columns, rows)
    if len(rows) < answer["total"]:
        say(f"{len(rows)} of {answer['total']} are shown; --user or a higher --limit shows others")


def _group(link: ServerLink, user: str | None, *, as_json: bool) -> None:
    from . import shown

    answer = link.get("/presence")
    if as_json:
        shown.document(answer)
        return
    details = answer["userDetails"]
    here = {answer["currentServerId"]: answer["currentServerUsers"]}
    rows = [
        (name, server, shown.moment(details[name]["connectTime"]) if name in details else "-")
        for server, users in sorted((answer["serverUsers"] or here).items())
        for name in users
        if user in (None, name)
    ]
    shown.table((shown.Column("USER"), shown.Column("SERVER"), shown.Column("NEWEST SESSION", whole=True)), rows)
    if "presence" in answer:
        say("who is on other servers is not known now")


@asking("rooms")
@click.option("--user", metavar="USER", help="Only those of this user.")
@click.option("--before", type=click.IntRange(0), metavar="ID", help="Only older ones than this, by ID.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many are shown at most.")
def rooms(link: ServerLink, *, user: str | None, before: int | None, limit: int, as_json: bool) -> None:
    """List rooms, the newest first.

    LAST: the number of the newest message. HERE: subscriptions on this server.
    """
    from . import shown

    answer = link.get("/rooms", user=user, before=before, limit=limit)
    if as_json:
        shown.document(answer)
        return
    columns = (
        shown.Column("ROOM", whole=True),
        shown.Column("PRODUCT"),
        shown.Column("BUYER"),
        shown.Column("SELLER"),
        shown.Column("LAST", number=True),
        shown.Column("HERE", number=True),
        shown.Column("MADE", wide=True, whole=True),
    )
    shown.table(
        columns,
        [
            (
                one["roomUUID"],
                one["productName"],
                one["buyer"],
                one["seller"],
                one["lastSeq"],
                one["subscribersHere"],
                shown.moment(one["createdAt"]),
            )
            for one in answer["rooms"]
        ],
    )
    if answer["before"] is not None:
        say(f"there may be older ones: --before {answer['before']}")


@asking("tail")
@click.argument("room")
@click.option("-n", "newest", type=click.IntRange(0, 1000), default=20, show_default=True, help="Messages to begin with.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Whether to go on until Ctrl-C.")
def tail(link: ServerLink, *, room: str, newest: int, follow: bool, as_json: bool) -> None:
    """Show the newest messages of ROOM, and each that comes."""
    from . import shown

    for one in link.lines(f"/rooms/{quote(room, safe='')}/messages", tail=newest, follow=follow):
        if "end" in one:
            fail(f"the server ended it: {shown.clean(one['end']['title'])} ({shown.clean(one['end']['code'])})")
        elif as_json:
            shown.json_line(one)
        else:
            number = (f"{one.get('seq', '-'):>6} {shown.moment(one['timestamp'] or '')} ", "dim")
            shown.line(number, (one["sender"], "bold"), (": ", ""), (one["content"], ""))
    if follow:
        fail("the connection to the server was lost")


# Acting


@asking("send")
@click.argument("room")
@click.argument("text")
@click.option("--as", "sender", metavar="USER", required=True, help="The member of the room whose message it is.")
@click.option("--client-message-id", "given_id", metavar="ID", help="Makes sending again safe. One is made if none is given.")
def send(link: ServerLink, *, room: str, text: str, sender: str, given_id: str | None, as_json: bool) -> None:
    """Send TEXT to ROOM as one of its members.

    With - the text is read from standard input. A message with the same id is stored once: where an answer was lost, send it
    again with the id that you are told.
    """
    from . import shown
    from .server_link import NotDone, OutcomeUnknown

    message_id = uuid.uuid4().hex if given_id is None else given_id
    again = f"it may be stored; the same command with --client-message-id {message_id} stores it once"
    body = {"sender": sender, "content": _text(text), "clientMessageId": message_id}
    try:
        answer = link.post(f"/rooms/{quote(room, safe='')}/messages", body)
    except OutcomeUnknown as lost:
        if as_json:
            shown.document({"outcome": "unknown", "clientMessageId": message_id})
        raise NotDone(f"{str(lost).rstrip('.')}; {again}") from lost
    except KeyboardInterrupt:
        say(again)
        raise
    if as_json:
        shown.document({**answer, "clientMessageId": message_id})
    else:
        how = "was stored before" if answer["repeated"] else "is stored"
        click.echo(f"it {how} as number {answer['seq']}, {answer['id']}")


@asking("publish")
@click.argument("destination")
@click.argument("text")
@click.option("--header", "headers", metavar="NAME:VALUE", multiple=True, help="A header of the MESSAGE; may come repeatedly.")
def publish(link: ServerLink, *, destination: str, text: str, headers: Sequence[str], as_json: bool) -> None:
    """Send TEXT to a DESTINATION that is no room.

    Like /topic/news, /queue/orders or /user/NAME/queue/news. With - the text is read from standard input.
    """
    from . import shown

    pairs = [header.partition(":") for header in headers]
    if any(not (name and colon) for name, colon, _ in pairs):
        fail("--header: expected NAME:VALUE", WRONG_SETTINGS)
    named = {name: value.strip() for name, _, value in pairs}
    if len(named) < len(pairs):
        fail("--header: expected each NAME once", WRONG_SETTINGS)
    body = {"destination": destination, "body": _text(text), "headers": named}
    answer = link.post("/publish", body)
    if as_json:
        shown.document(answer)
    else:
        click.echo(f"published to {shown.clean(destination)}")


@asking("drain")
@click.option("--wait", is_flag=True, help="End when the server has ended.")
def drain(link: ServerLink, *, wait: bool, as_json: bool) -> None:
    """Have the server go down, as by SIGTERM.

    Its connections are sent elsewhere at their pace, and what it has accepted is finished.
    """
    from . import shown

    answer = link.post("/drain")
    if as_json:
        shown.document(answer)
    else:
        click.echo(f"the server goes down; {_connections(answer['connections'])} to be sent elsewhere")
    if wait:
        _wait(link, answer["connections"], quiet=as_json)


def _wait(link: ServerLink, connections: int, *, quiet: bool) -> None:
    from .server_link import NotDone, wait_for_end

    process = link.pid()
    try:
        while True:
            time.sleep(_POLL_S)
            left = link.get("/drain")["connections"]
            if left != connections and not quiet:
                click.echo(f"{_connections(left)} left")
            connections = left
    except NotDone:
        pass  # it answers no more: that is what was waited for
    if process is not None and not wait_for_end(process):
        fail("the server takes nobody any more, but its process has not ended")
    if not quiet:
        click.echo("it has ended" if process is not None else "it answers no more")


def _text(given: str) -> str:
    return given_input().read().removesuffix("\n") if given == "-" else given


def _or_dash(text: str | None) -> str:
    return "-" if text is None else text


def _connections(number: int) -> str:
    return f"{number} connection{'' if number == 1 else 's'}"


COMMANDS = (sessions, rooms, tail, send, publish, drain)
