"""One schedule: a random run of a world, its healing, and everything that must hold then."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stompgate.model.causes import Cause

from .actions import ACTIONS, drawn_weights
from .healing import LONG_S, gather, heal, judge_complete, judge_sayings, let_pass
from .log import errors_noted
from .probes import probe
from .troubles import prune
from .violations import Violation, demand
from .world import Figures, World


class Failure(Exception):
    """A schedule broke a promise. The text has its seed and the end of its trace."""

    def __init__(self, seed: int, trace: Sequence[str], violation: BaseException) -> None:
        tail = "\n".join(f"  {line}" for line in trace[-40:])
        super().__init__(f"seed {seed}: {violation!r}\nthe end of its trace ({len(trace)} steps):\n{tail}")
        self.seed = seed


def run_schedule(seed: int, trace: list[str] | None = None, *, prunes: bool = True) -> Figures:
    """Run one schedule. Raises ``Failure``. ``prunes``: whether messages may be taken away, which makes it another schedule."""
    world = World(seed, prunes=prunes)
    if trace is not None:
        world.trace = trace
    try:
        with errors_noted(world.mishaps):
            _run(world)
            heal(world)
            _judge_stored(world)
            _prune(world, world.pruned_per_step)
            gather(world)
            probe(world)
            judge_sayings(world)
            _leave(world)
    except (Violation, AssertionError, RuntimeError, LookupError) as error:
        raise Failure(seed, world.trace, error) from error
    finally:
        world.close()
    world.figures.stored = sum(len(room.rows) for room in world.rows.rooms.values())
    return world.figures


def _run(world: World) -> None:
    world.settle()
    steps = world.random.choice((30, 100, 100, 400))
    actions, weights = list(ACTIONS), drawn_weights(world)
    for _ in range(steps):
        action = world.random.choices(actions, weights)[0]
        told = action(world)
        if told is None:
            continue
        world.trace.append(told)
        world.figures.steps += 1
        if world.retention.random() < world.pruned_per_step:
            _prune(world, 1)
        world.settle()
        if world.random.random() < 0.8:
            world.close_links()
            world.settle()


def _prune(world: World, times: float) -> None:
    for _ in range(math.ceil(times)):
        told = prune(world)
        if told is not None:
            world.trace.append(told)


def _judge_stored(world: World) -> None:
    for room in world.rows.rooms.values():
        demand([row.message.seq for row in room.rows] == list(range(1, len(room.rows) + 1)), "seq has no gaps")
        told = [(row.message.sender, row.message.content) for row in room.rows]
        demand(len(set(told)) == len(told), "what is said is stored once", room.room.uuid)
    judge_sayings(world)
    judge_complete(world, "after healing everybody has everything")
    for server in world.up:
        demand(not server.outbox._on_the_way, "nothing stays on the way", server.id)
        demand(not server.outbox._settled, "nothing stays to be marked", server.id)
    for room in world.rows.rooms.values():
        owed = [row.message.seq for row in room.rows if row.unrelayed_by and not room.deleted]
        demand(not owed and room.unrelayed_by is None, "after healing nothing is owed", room.room.uuid, owed)


def _leave(world: World) -> None:
    """All leave, and nothing of them stays."""
    world.trace.append("leaving")
    for connection in list(world.connections):
        if world.random.random() < 0.5:
            world.lose(connection, Cause.PEER_LEFT)
        else:
            connection.disconnect()
    world.settle()
    for connection in list(world.connections):
        demand(not connection._expected, "every RECEIPT that was asked for has come", connection.client.name)
        world.lose(connection, Cause.DISCONNECTED)
    let_pass(world, LONG_S)
    for server in world.up:
        demand(not server.loop.tasks, "no task is left", server.loop.tasks)
        demand(not server.feeds._feeds, "no feed is left", server.id)
        demand(len(server.router) == 0, "no subscription is left", server.id)
        demand(not server.gate.peers, "no peer is left", server.id)
        demand(len(server.wheel) == 0, "no timer is left", server.id)
        demand(not server.sessions.local_users(), "no session is left", server.id)
        demand(not server.delivery._backlogs, "no fan-out is left", server.id)
