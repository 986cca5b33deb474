"""What may happen in a step beside the clients: the store's calls go on, time passes, servers die, rooms lose members, and the
relay does its worst. Each looks whether it can be done now, and says what it did, or None."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress
from itertools import takewhile
from typing import Any

from stompgate.model.causes import Refusal
from stompgate.model.messages import ChatMessage
from stompgate.model.records import ChatRecord
from stompgate.ports.relay import Answer
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable
from tests.memory_store import RoomRow

from .server import SimulatedServer
from .world import World, pick

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
    server: SimulatedServer | None = pick(world, world.up)
    if server is None:
        return None
    world.crash(server)
    return f"{server.id} dies"


def restart(world: World) -> str | None:
    server_id: str | None = pick(world, [name for name, server in world.servers.items() if server is None])
    if server_id is None:
        return None
    world.start(server_id)
    return f"{server_id} starts"


def delete_room(world: World) -> str | None:
    room = world.random.choice(world.room_ids)
    server: SimulatedServer | None = pick(world, world.up)
    members = sorted(world.rows.rooms[room].users)
    if server is None or world.is_deleted(room) or not members or len(world.room_ids) == 1:
        return None
    delete(world, server, room, world.random.choice(members))
    return f"{room} is to be deleted by {server.id}"


def remove_member(world: World) -> str | None:
    room = world.random.choice(world.room_ids)
    server: SimulatedServer | None = pick(world, world.up)
    members = sorted(world.rows.rooms[room].users)
    if server is None or world.is_deleted(room) or len(members) < 2:
        return None
    user = world.random.choice(members)
    remove(world, server, room, user)
    return f"{user} is to be removed from {room} by {server.id}"


def prune(world: World) -> str | None:
    """Retention takes the oldest messages of a room away: any that may go. Client ids stay known, as they do for days."""
    free = {room.room.uuid: _free(room) for room in world.rows.rooms.values() if not room.deleted and _free(room)}
    if not free:
        return None
    room = world.rows.rooms[world.retention.choice(list(free))]
    count = world.retention.randint(1, free[room.room.uuid])
    room.pruned += count
    world.figures.pruned += count
    return f"{room.room.uuid} is pruned up to {room.pruned}"


def _free(room: RoomRow) -> int:
    """How many of its oldest messages may be taken away."""
    return len(list(takewhile(lambda row: row.unrelayed_by is None, room.rows[room.pruned : -1])))


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
            publication.answer(Answer.TAKEN)
        elif how < 0.87:  # taken, but the answer is lost
            world.hub.take(publication)
            publication.answer(Answer.UNKNOWN)
        elif how < 0.94:
            published.remove(publication)
            publication.answer(Answer.UNKNOWN)
        else:  # given up by its server; it may come later
            publication.answer(Answer.UNKNOWN)
        told.append(f"{how:.2f}")
    return f"the relay takes {' '.join(told)}" if told else None


def deliver(world: World) -> str | None:
    server: SimulatedServer | None = pick(
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
    server: SimulatedServer | None = pick(world, [one for one in world.up if one.relay.is_up])
    if server is None or not world.hub.log:
        return None
    server.relay.hand_over([world.random.choice(world.hub.log)])
    return f"an old record to {server.id}"


def forge(world: World) -> str | None:
    """A record of another life of the store, or of a number that it has not got to."""
    server: SimulatedServer | None = pick(world, [one for one in world.up if one.relay.is_up])
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
    server: SimulatedServer | None = pick(world, world.up)
    if server is None or not server.relay.is_open:
        return None
    relay, how = server.relay, world.random.choice(("is_paused", "is_deaf", "is_down"))
    setattr(relay, how, not getattr(relay, how))
    if how != "is_paused" and not getattr(relay, how):
        relay.reset()
    return f"the relay of {server.id}: {how} {getattr(relay, how)}"
