"""What clients do in a step of the simulation, and how often each action is drawn beside the others, the troubles included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stompgate.model.causes import Cause
from stompgate.model.messages import Position

from .client import Client, Connection, Saying
from .server import SimulatedServer
from .troubles import (
    crash,
    delete_room,
    deliver,
    forge,
    go_on_in_store,
    pass_time,
    remove_member,
    repeat,
    restart,
    take_into_relay,
    turn_relay,
    turn_store,
)
from .world import World, pick

Action = Callable[[World], str | None]
"""Does it, and says what; None if it could not be done now."""


def _connected(world: World) -> list[Connection]:
    return [one for one in world.connections if one.is_connected and not one.is_leaving and one.link.closing is None]


# Clients


def connect(world: World) -> str | None:
    client: Client | None = pick(world, [one for one in world.clients if one.connection is None])
    server: SimulatedServer | None = pick(world, world.up)
    if client is None or server is None:
        return None
    world.connect(client, server)
    return f"{client.name} connects to {server.id}"


def come_back(world: World) -> str | None:
    """A client that knows where it was connects and goes on from there, all in one breath."""
    client: Client | None = pick(world, [one for one in world.clients if one.connection is None and one.positions])
    server: SimulatedServer | None = pick(world, world.up)
    if client is None or server is None:
        return None
    connection = world.connect(client, server)
    for room, since in list(client.positions.items()):
        connection.subscribe(room, since, with_receipt=True, by_hand=False)
    return f"{client.name} comes back to {server.id} with {', '.join(client.positions)}"


def subscribe(world: World) -> str | None:
    connection: Connection | None = pick(world, _connected(world))
    if connection is None or len(connection.watchings) >= 4:
        return None
    room = world.random.choice(world.room_ids)
    since = connection.client.positions.get(room) if world.random.random() < 0.8 else None
    if since is not None and world.random.random() < 0.1:
        since = _spoiled(world, since)
    watching = connection.subscribe(room, since, with_receipt=world.random.random() < 0.9, by_hand=world.random.random() < 0.1)
    return f"{connection.client.name} subscribes to {room} since {watching.since.seq if watching.since else None}"


def _spoiled(world: World, since: str) -> str:
    position = Position.parse(since)
    assert position is not None
    how = world.random.randrange(4)
    if how == 0:
        return str(replace(position, epoch="other"))
    if how == 1:
        return str(replace(position, mark="00000000"))
    return str(replace(position, seq=position.seq + 1000 if how == 2 else -1))


def say(world: World, connection: Connection | None = None) -> str | None:
    connection = connection or pick(world, _connected(world))
    if connection is None:
        return None
    told = []
    for _ in range(world.random.choice((1, 1, 1, 2, 5))):
        client = connection.client
        content = f"{client.name}-{next(client.numbers)}"
        client_id = content if world.random.random() < 0.7 else None
        saying = Saying(world.random.choice(world.room_ids), content, client_id)
        client.sayings.append(saying)
        connection.say(saying, with_receipt=world.random.random() < 0.95)
        told.append(f"{content} to {saying.room}")
    return f"{connection.client.name} says {', '.join(told)}"


def say_again(world: World) -> str | None:
    connection: Connection | None = pick(world, _connected(world))
    if connection is None:
        return None
    sayings = [one for one in connection.client.sayings if one.client_id is not None]
    # Also what has its RECEIPT long since: who lost it does not know.
    saying: Saying | None = pick(world, [one for one in sayings if one.is_open] or sayings)
    if saying is None:
        return None
    world.figures.sent_again += 1
    connection.say(saying, with_receipt=True)
    return f"{connection.client.name} says {saying.content} again"


def unsubscribe(world: World) -> str | None:
    connection: Connection | None = pick(world, [one for one in _connected(world) if one.watchings])
    if connection is None:
        return None
    name = world.random.choice(list(connection.watchings))
    connection.unsubscribe(name)
    return f"{connection.client.name} unsubscribes {name}"


def disconnect(world: World) -> str | None:
    connection: Connection | None = pick(world, _connected(world))
    if connection is None:
        return None
    if world.random.random() < 0.5:
        say(world, connection)
    connection.disconnect()
    return f"{connection.client.name} disconnects"


def cut(world: World) -> str | None:
    connection: Connection | None = pick(world, world.connections)
    if connection is None:
        return None
    world.figures.cuts += 1
    world.lose(connection, Cause.PEER_LEFT)
    return f"{connection.client.name} is cut off"


def stop_reading(world: World) -> str | None:
    connection: Connection | None = pick(world, [one for one in world.connections if one.is_reading])
    if connection is None:
        return None
    connection.is_reading = False
    return f"{connection.client.name} stops reading"


def read_a_little(world: World) -> str | None:
    connection: Connection | None = pick(world, [one for one in world.connections if not one.is_reading])
    if connection is None:
        return None
    connection.is_reading = world.random.random() < 0.5
    connection.read(world.random.randint(1, 3))
    return f"{connection.client.name} reads"


ACTIONS: dict[Action, int] = {
    go_on_in_store: 40,
    take_into_relay: 15,
    deliver: 18,
    pass_time: 14,
    say: 20,
    say_again: 4,
    connect: 8,
    come_back: 8,
    subscribe: 12,
    unsubscribe: 2,
    disconnect: 2,
    cut: 4,
    stop_reading: 3,
    read_a_little: 6,
    repeat: 2,
    forge: 1,
    turn_relay: 2,
    turn_store: 1,
    crash: 1,
    restart: 4,
    delete_room: 1,
    remove_member: 1,
}
"""How often each is drawn, beside the others."""

_MOODY: tuple[Action, ...] = (
    cut,
    stop_reading,
    repeat,
    forge,
    turn_relay,
    turn_store,
    crash,
    pass_time,
    say,
    delete_room,
    remove_member,
)
"""What happens often in one world and hardly ever in another."""


def drawn_weights(world: World) -> list[float]:
    """The weights of this world, in the order of ``ACTIONS``."""
    moods: dict[Action, float] = {action: world.random.choice((0.1, 0.5, 1.0, 3.0)) for action in _MOODY}
    for removal in (delete_room, remove_member):
        moods[removal] *= world.random.choice((0.0, 1.0))
    return [weight * moods.get(action, 1.0) for action, weight in ACTIONS.items()]
