"""Single troubles in a world that is whole otherwise. A healed world tells that nothing is lost for good; a probe tells that
each of the ways to heal works by itself, since only it is quick enough."""

from __future__ import annotations

from collections.abc import Callable

from .client import Client, Connection, Saying
from .healing import judge_complete, let_pass
from .violations import demand
from .world import World

_SOON_S = 1.5
"""As long as a message may take from its SEND to the last receiver, the wait for a gap and a retry included."""

_SWEEP_S = 5.0
_COMPARISON_WHILE_DOWN_S = 2.0


def probe(world: World) -> None:
    """Send a message to every room, with one trouble or none."""
    for room in world.room_ids:
        members = [client for client in world.clients if world.is_member(room, client.user)]
        if members:
            trouble = world.random.choice(_TROUBLES)
            world.trace.append(f"probing {room}: {trouble.__name__}")
            trouble(world, room, world.random.choice(members))


def nothing_wrong(world: World, room: str, client: Client) -> None:
    _say(world, room, client)
    let_pass(world, _SOON_S)
    judge_complete(world, "where nothing is wrong a message is everywhere soon")


def relay_refuses(world: World, room: str, client: Client) -> None:
    """The sweep finds what the relay did not take."""
    server = _connection(world, client).server
    server.relay.is_refusing = True
    _say(world, room, client)
    server.relay.is_refusing = False
    let_pass(world, _SWEEP_S + _SOON_S)
    judge_complete(world, "the next sweep brings what the relay refused")


def relay_was_deaf(world: World, room: str, client: Client) -> None:
    """After a reset the rooms are compared at once."""
    deaf = world.random.choice(world.up)
    deaf.relay.is_deaf = True
    _say(world, room, client)
    let_pass(world, 0.0)
    deaf.relay.is_deaf = False
    deaf.relay.reset()
    let_pass(world, _SOON_S)
    judge_complete(world, "a reset brings what was missed")


def relay_is_down(world: World, room: str, client: Client) -> None:
    """While the relay is known to be down, each server looks for itself; those beside the sender need not."""
    for server in world.up:
        server.relay.is_down = True
    saying = _say(world, room, client)
    demand(saying.is_receipted, "the sender does not wait for the relay", saying)
    server = _connection(world, client).server
    judge_complete(world, "who is beside the sender does not wait for the relay", on=server)
    let_pass(world, 2 * _COMPARISON_WHILE_DOWN_S + _SOON_S)
    judge_complete(world, "while the relay is down the comparison brings what is new")
    for server in world.up:
        server.relay.is_down = False
        server.relay.reset()


def server_dies(world: World, room: str, client: Client) -> None:
    """A message is stored, and its server dies before it can say so to anyone; sent again elsewhere, it is everywhere."""
    connection = _connection(world, client)
    dying = connection.server
    others = [server for server in world.up if server is not dying]
    if not others:
        nothing_wrong(world, room, client)
        return
    saying = Saying(room, f"probe of {room}", f"probe-of-{room}")
    connection.say(saying, with_receipt=True)
    world.settle()
    while not world.rows.by_client_id.get((room, client.user, f"probe-of-{room}")):
        _do_all(world)
    world.crash(dying)
    connection = world.connect(client, world.random.choice(others))
    connection.say(saying, with_receipt=True)
    let_pass(world, _SOON_S)
    demand(saying.is_receipted, "what is sent again is answered", saying)
    judge_complete(world, "what is sent again is offered to everyone again")
    world.start(dying.id)


_TROUBLES: list[Callable[[World, str, Client], None]] = [
    nothing_wrong,
    relay_refuses,
    relay_was_deaf,
    relay_is_down,
    server_dies,
]


def _say(world: World, room: str, client: Client) -> Saying:
    saying = Saying(room, f"probe of {room}", None)
    _connection(world, client).say(saying, with_receipt=True)
    world.settle()
    while world.calls.finish():
        world.settle()
    demand(saying.is_receipted, "where nothing is wrong a SEND is answered soon", saying)
    return saying


def _do_all(world: World) -> None:
    """Let all calls take effect without an answer to writes."""
    for call in list(world.calls.under_way):
        if not call.is_done:
            call.do()
        if not call.writes:
            world.calls.under_way.remove(call)
            call.answer()
    world.settle()


def _connection(world: World, client: Client) -> Connection:
    return client.connection or world.connect(client, world.random.choice(world.up))
