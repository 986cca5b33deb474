"""What may happen in a step of the simulation: each action looks whether it can be done now, and is one draw of the lot."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage, Position
from stompgate.model.records import ChatRecord
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

from .client import Client, Connection, Saying
from .server import SimulatedServer
from .world import World

Action = Callable[[World], str | None]
"""Does it, and says what; None if it could not be done now."""


def _pick(world: World, among: list[Any]) -> Any:
    return world.random.choice(among) if among else None


def _connected(world: World) -> list[Connection]:
    return [one for one in world.connections if one.is_connected and not one.is_leaving and one.link.closing is None]


# Clients


def connect(world: World) -> str | None:
    client: Client | None = _pick(world, [one for one in world.clients if one.connection is None])
    server: SimulatedServer | None = _pick(world, world.up)
    if client is None or server is None:
        return None
    world.connect(client, server)
    return f"{client.name} connects to {server.id}"


def come_back(world: World) -> str | None:
    """A client that knows where it was connects and goes on from there, all in one breath."""
    client: Client | None = _pick(world, [one for one in world.clients if one.connection is None and one.positions])
    server: SimulatedServer | None = _pick(world, world.up)
    if client is None or server is None:
        return None
    connection = world.connect(client, server)
    for room, since in list(client.positions.items()):
        connection.subscribe(room, since, with_receipt=True, by_hand=False)
    return f"{client.name} comes back to {server.id} with {', '.join(client.positions)}"


def subscribe(world: World) -> str | None:
    connection: Connection | None = _pick(world, _connected(world))
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
    connection = connection or _pick(world, _connected(world))
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
    connection: Connection | None = _pick(world, _connected(world))
    if connection is None:
        return None
    sayings = [one for one in connection.client.sayings if one.client_id is not None]
    # Also what has its RECEIPT long since: who lost it does not know.
    saying: Saying | None = _pick(world, [one for one in sayings if one.is_open] or sayings)
    if saying is None:
        return None
    world.figures.sent_again += 1
    connection.say(saying, with_receipt=True)
    return f"{connection.client.name} says {saying.content} again"


def unsubscribe(world: World) -> str | None:
    connection: Connection | None = _pick(world, [one for one in _connected(world) if one.watchings])
    if connection is None:
        return None
    name = world.random.choice(list(connection.watchings))
    connection.unsubscribe(name)
    return f"{connection.client.name} unsubscribes {name}"


def disconnect(world: World) -> str | None:
    connection: Connection | None = _pick(world, _connected(world))
    if connection is None:
        return None
    if world.random.random() < 0.5:
        say(world, connection)
    connection.disconnect()
    return f"{connection.client.name} disconnects"


def cut(world: World) -> str | None:
    connection: Connection | None = _pick(world, world.connections)
    if connection is None:
        return None
    world.figures.cuts += 1
    world.lose(connection, Cause.PEER_LEFT)
    return f"{connection.client.name} is cut off"


def stop_reading(world: World) -> str | None:
    connection: Connection | None = _pick(world, [one for one in world.connections if one.is_reading])
    if connection is None:
        return None
    connection.is_reading = False
    return f"{connection.client.name} stops reading"


def read_a_little(world: World) -> str | None:
    connection: Connection | None = _pick(world, [one for one in world.connections if not one.is_reading])
    if connection is None:
        return None
    connection.is_reading = world.random.random() < 0.5
    connection.read(world.random.randint(1, 3))
    return f"{connection.client.name} reads"


# Store, time, servers


def go_on_in_store(world: World) -> str | None:
    return world.calls.step() if world.calls.under_way else None


def turn_store(world: World) -> str | None:
    """The store goes down for a server, or comes back."""
    server_id = world.random.choice(list(world.servers))
    if not world.calls.faults:
        return None
    world.calls.down ^= {server_id}
    return f"the store is {'down' if server_id in world.calls.down else 'up'} for {server_id}"


def pass_time(world: World) -> str | None:
    if world.random.random() < 0.8:
        world.advance_to_next()
    else:
        world.advance(world.random.choice((0.05, 1.0, 12.0, 40.0)))
    return f"it is {world.clock.monotonic():.3f}"


def crash(world: World) -> str | None:
    server: SimulatedServer | None = _pick(world, world.up)
    if server is None:
        return None
    world.crash(server)
    return f"{server.id} dies"


def restart(world: World) -> str | None:
    server_id: str | None = _pick(world, [name for name, server in world.servers.items() if server is None])
    if server_id is None:
        return None
    world.start(server_id)
    return f"{server_id} starts"


def delete_room(world: World) -> str | None:
    room = world.random.choice(world.room_ids)
    server: SimulatedServer | None = _pick(world, world.up)
    members = sorted(world.rows.rooms[room].users)
    if server is None or world.is_deleted(room) or not members or len(world.room_ids) == 1:
        return None
    delete(world, server, room, world.random.choice(members))
    return f"{room} is to be deleted by {server.id}"


def remove_member(world: World) -> str | None:
    room = world.random.choice(world.room_ids)
    server: SimulatedServer | None = _pick(world, world.up)
    members = sorted(world.rows.rooms[room].users)
    if server is None or world.is_deleted(room) or len(members) < 2:
        return None
    user = world.random.choice(members)
    remove(world, server, room, user)
    return f"{user} is to be removed from {room} by {server.id}"


def delete(world: World, server: SimulatedServer, room: str, user: str) -> None:
    """Have a room deleted by one of its members."""
    world.figures.removals += 1
    server.loop.run_task(_tried(server.rooms.delete(room, user)))


def remove(world: World, server: SimulatedServer, room: str, user: str) -> None:
    """Have a member removed by a server, as ``Rooms.delete`` deletes a room."""
    world.figures.removals += 1
    server.loop.run_task(_tried(_remove(server, room, user)))


async def _remove(server: SimulatedServer, room: str, user: str) -> None:
    change = await server.store.remove_member(room, user)
    if change is not None:
        server.rooms.heard(change.room, change.members_version)
        server.outbox.announce(change)


async def _tried(work: Coroutine[Any, Any, None]) -> None:
    with suppress(Refusal, StoreUnavailable, OutcomeUnknown):  # whoever asked is told; what came of it is in the store
        await work


# The relay


def take_into_relay(world: World) -> str | None:
    """The relay takes what was published: in order per key and server, or not, and says so truly, or not."""
    told = []
    for _ in range(world.random.randint(1, 4)):
        published = world.hub.published
        if not published:
            break
        publication = world.random.choice(published)
        if world.random.random() < 0.9:
            publication = next(one for one in published if one.key == publication.key)
        how = world.random.random()
        if how < 0.8:
            world.hub.take(publication)
            publication.answer(taken=True)
        elif how < 0.87:  # taken, but the answer is lost
            world.hub.take(publication)
            publication.answer(taken=False)
        elif how < 0.94:
            published.remove(publication)
            publication.answer(taken=False)
        else:  # given up by its server; it may come later
            publication.answer(taken=False)
        told.append(f"{how:.2f}")
    return f"the relay takes {' '.join(told)}" if told else None


def deliver(world: World) -> str | None:
    server: SimulatedServer | None = _pick(
        world, [one for one in world.up if one.relay.is_up and not one.relay.is_paused and one.relay.inbox]
    )
    if server is None:
        return None
    inbox, random = server.relay.inbox, world.random
    how = random.random()
    if how < 0.7:
        count = random.randint(1, len(inbox))
        server.relay.deliver(count)
        return f"{count} records to {server.id}"
    if how < 0.85:
        server.relay.hand_over([inbox.pop(random.randrange(len(inbox)))])
        return f"a record out of order to {server.id}"
    if how < 0.95:
        server.relay.hand_over([random.choice(inbox)])
        return f"a record early to {server.id}"
    inbox.pop(random.randrange(len(inbox)))
    return f"a record for {server.id} is lost"


def repeat(world: World) -> str | None:
    server: SimulatedServer | None = _pick(world, [one for one in world.up if one.relay.is_up])
    if server is None or not world.hub.log:
        return None
    server.relay.hand_over([world.random.choice(world.hub.log)])
    return f"an old record to {server.id}"


def forge(world: World) -> str | None:
    """A record of another life of the store, or of a number that it has not got to."""
    server: SimulatedServer | None = _pick(world, [one for one in world.up if one.relay.is_up])
    if server is None:
        return None
    room = world.random.choice(world.room_ids)
    seq, version = world.last_seq(room) + 1, world.rows.rooms[room].version
    if world.random.random() < 0.5:
        message = ChatMessage("forged", room, seq, "u0", "forged", 0, "other", version)
    else:
        message = ChatMessage("forged", room, seq + 1000, "u0", "forged", 0, world.rows.epoch, version)
    server.relay.hand_over([ChatRecord(message)])
    return f"a false record to {server.id}"


def turn_relay(world: World) -> str | None:
    """The relay is paused, loses what comes, or goes down; or comes back from that."""
    server: SimulatedServer | None = _pick(world, world.up)
    if server is None or not server.relay.is_open:
        return None
    relay, how = server.relay, world.random.choice(("is_paused", "is_deaf", "is_down"))
    setattr(relay, how, not getattr(relay, how))
    if how != "is_paused" and not getattr(relay, how):
        relay.reset()
    return f"the relay of {server.id}: {how} {getattr(relay, how)}"


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
