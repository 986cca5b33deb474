"""After the trouble: everything works again, for as long as it takes, and then everybody has everything."""

from __future__ import annotations

from .server import SimulatedServer
from .violations import demand
from .world import World

LONG_S = 70.0
"""Longer than everything that is done again from time to time: sweeps, comparisons, give-ups."""


def heal(world: World) -> None:
    """Let everything work again."""
    world.trace.append("healing")
    world.calls.faults = 0.0
    world.calls.down.clear()
    for server_id, server in world.servers.items():
        if server is None:
            world.start(server_id)
    for connection in world.connections:
        connection.is_reading = True
    world.settle()
    for server in world.up:
        relay = server.relay
        may_have_missed = relay.is_deaf or relay.is_down
        relay.is_paused = relay.is_deaf = relay.is_down = False
        if may_have_missed:  # what was lost without a word is for the comparison to find
            relay.reset()
    let_pass(world, LONG_S)


def gather(world: World) -> None:
    """Bring everybody into every room that is theirs."""
    for client in world.clients:
        connection = client.connection or world.connect(client, world.random.choice(world.up))
        for room in world.room_ids:
            if world.is_member(room, client.user):
                connection.subscribe(room, client.positions.get(room), with_receipt=True, by_hand=False)
    let_pass(world, 0.0)
    judge_complete(world, "who comes is brought up to date")


def let_pass(world: World, seconds: float) -> None:
    """Let time go by in which the store and the relay do what they should, at once."""
    until_s = world.clock.monotonic() + seconds
    while True:
        world.settle()
        while world.calls.finish() or world.hub.published or any(server.relay.inbox for server in world.up):
            world.settle()
            world.hub.flush()
            world.settle()
        world.close_links()
        world.settle()
        if not world.advance_to_next(until_s):
            break
    world.advance(until_s - world.clock.monotonic())
    world.settle()


def judge_complete(world: World, promise: str, *, on: SimulatedServer | None = None) -> None:
    """Every living subscription of a member, or those on one server, must have all that is stored."""
    for connection in world.connections:
        if on is not None and connection.server is not on:
            continue
        for watching in connection.watchings.values():
            if world.is_member(watching.room, watching.user):
                demand(watching.is_begun or not watching.has_receipt, "after healing every SUBSCRIBE is answered", watching)
                demand(watching.is_complete(), promise, watching, "of", world.last_seq(watching.room))


def judge_sayings(world: World) -> None:
    """What was answered is as it was said to be."""
    for client in world.clients:
        for saying in client.sayings:
            stored = world.stored(client.user, saying)
            demand(stored == 1 or not saying.is_receipted, "what has a RECEIPT is stored once", saying)
            demand(stored == 0 or saying.refusals < saying.attempts, "what was refused is not stored", saying)
