"""Single troubles in a world that is whole otherwise. A healed world tells that nothing is lost for good; a probe tells that
each of the ways to heal works by itself, since only it is quick enough."""

from __future__ import annotations

from collections.abc import Callable

from stompgate.ports.store import OutcomeUnknown

from .client import Client, Connection, Saying
from .healing import judge_complete, let_pass
from .server import SimulatedServer
from .troubles import delete, remove
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


def comes_meanwhile(world: World, room: str, client: Client) -> None:
    """Who subscribes while a message is stored gets it, or begins after it."""
    server = _connection(world, client).server
    fresh = _restarted(world, world.random.choice([one for one in world.up if one is not server] or [server]))
    guest = Client(f"guest of {room}", client.user)
    world.clients.append(guest)
    world.connect(guest, fresh).subscribe(room, None, with_receipt=True, by_hand=False)
    world.settle()
    for call in world.calls.under_way:
        call.do()  # what the newcomer begins with is read; the answer is on its way
    _connection(world, client).say(Saying(room, f"probe of {room}", None), with_receipt=True)
    world.settle()
    _finish(world, "append")
    world.hub.flush()
    let_pass(world, _SOON_S)
    judge_complete(world, "who comes meanwhile misses nothing")


def member_goes(world: World, room: str, client: Client) -> None:
    """A member is removed, and what is stored after that overtakes the news of it."""
    server = _connection(world, client).server
    remover = next((one for one in world.up if one is not server), server)
    others = sorted({one.user for one in world.clients if world.is_member(room, one.user)} - {client.user})
    if not others:
        nothing_wrong(world, room, client)
        return
    remove(world, remover, room, world.random.choice(others))
    world.settle()
    _finish(world, "remove_member")
    _connection(world, client).say(Saying(room, f"probe of {room}", None), with_receipt=True)
    world.settle()
    _do_appends(world)
    _finish(world, "append")
    world.hub.published.reverse()
    world.hub.flush()
    world.settle()
    let_pass(world, _SOON_S)
    judge_complete(world, "those who stay miss nothing")


def answer_never_comes(world: World, room: str, client: Client) -> None:
    """Stored, but the server never learns it; nor does the relay bring the record back. The sweep offers it here too."""
    server = _connection(world, client).server
    server.relay.is_deaf = True
    _connection(world, client).say(Saying(room, f"probe of {room}", None), with_receipt=False)
    world.settle()
    world.calls.held.add("append")
    _do_appends(world)
    let_pass(world, _SWEEP_S + _SOON_S)
    judge_complete(world, "the sweep brings what nobody knew to be stored", on=server)
    world.calls.held.clear()
    server.relay.is_deaf = False
    server.relay.reset()
    let_pass(world, _SOON_S)


def room_goes_meanwhile(world: World, room: str, client: Client) -> None:
    """The answer of a SEND is lost, and the room is deleted before it is asked for again: nobody can call that refused."""
    connection = _connection(world, client)
    saying = Saying(room, f"probe of {room}", None)
    client.sayings.append(saying)
    connection.say(saying, with_receipt=True)
    world.settle()
    _do_appends(world)
    for call in [call for call in world.calls.under_way if call.name == "append"]:
        world.calls.under_way.remove(call)
        call.answer(OutcomeUnknown("lost"))
    delete(world, connection.server, room, client.user)
    let_pass(world, _SOON_S)
    demand(connection.is_over, "what could not be answered ends the connection", saying)


def _do_appends(world: World) -> None:
    """Let what is said be stored, and nobody be told."""
    while not (appends := [call for call in world.calls.under_way if call.name == "append"]):
        demand(bool(world.calls.finish()), "what is said gets to the store")
        world.settle()
    for call in appends:
        call.do()


_TROUBLES: list[Callable[[World, str, Client], None]] = [
    nothing_wrong,
    relay_refuses,
    relay_was_deaf,
    relay_is_down,
    server_dies,
    comes_meanwhile,
    member_goes,
    answer_never_comes,
    room_goes_meanwhile,
]


def _say(world: World, room: str, client: Client) -> Saying:
    saying = Saying(room, f"probe of {room}", None)
    _connection(world, client).say(saying, with_receipt=True)
    world.settle()
    while world.calls.finish():
        world.settle()
    demand(saying.is_receipted, "where nothing is wrong a SEND is answered soon", saying)
    return saying


def _finish(world: World, name: str) -> None:
    """Let the calls of one kind come to their end, and the others hang."""
    for call in [call for call in world.calls.under_way if call.name == name]:
        world.calls.under_way.remove(call)
        if not call.is_done:
            call.do()
        call.answer()
    world.settle()


def _restarted(world: World, server: SimulatedServer) -> SimulatedServer:
    """The server in a new life, in which it knows nobody."""
    world.crash(server)
    fresh = world.start(server.id)
    let_pass(world, 0.0)
    return fresh


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
