"""One server of the simulated group: the real parts, put together as ``wiring`` does, over the world's store and relay."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from stompgate import portions
from stompgate.access.authoriser import RoomAuthoriser
from stompgate.access.identities import HeaderAuthenticator
from stompgate.broker.router import Router
from stompgate.chat.feeds import FeedLimits, Feeds
from stompgate.chat.intake import Intake, IntakeLimits
from stompgate.chat.outbox import Outbox, OutboxLimits
from stompgate.chat.recovery import Recovery, RecoveryLimits
from stompgate.chat.rooms import RoomLimits, Rooms
from stompgate.chat.wire import Wire
from stompgate.gateway.delivery import Delivery
from stompgate.gateway.gate import Gate, GateSettings
from stompgate.gateway.queue_intake import QueueLimits
from stompgate.gateway.queueing import QueueDesk
from stompgate.gateway.subscriptions import Subscription
from stompgate.queues.memory import MemoryQueues
from stompgate.sessions.memory import MemorySessions
from stompgate.settings import Settings
from stompgate.timing.wheel import TimerWheel
from stompgate.wiring import offer
from tests.bad_relay import BadRelay
from tests.memory_store import MemoryStore

from .loop import ServerClock, SimulatedLoop

if TYPE_CHECKING:
    from .world import World


@lru_cache(maxsize=1)
def _usual() -> GateSettings:
    return portions.gate_settings(Settings())


class SimulatedServer:
    """A life of a server. Its limits are small and drawn by lot, so that a few messages reach them."""

    def __init__(self, world: World, server_id: str, life: int) -> None:
        self.id = server_id
        self.loop = loop = SimulatedLoop(world.clock, world.mishaps)
        self.clock = ServerClock(world.clock, loop)
        self.relay = BadRelay(world.hub, loop.entered)
        self.store = MemoryStore(world.rows, server_id=server_id, pace=world.calls.pace(server_id, loop))
        self.wheel = TimerWheel()
        self.wheel.advance(self.clock.monotonic())
        with loop.entered():
            self._wire(world, f"{server_id}-{life}")

    def _wire(self, world: World, epoch: str) -> None:
        random = world.random
        store, relay, clock = self.store, self.relay, self.clock
        self.router: Router[Subscription] = Router()
        self.rooms = Rooms(store, lambda change: self.outbox.announce(change), RoomLimits(random.choice((1, 10))))
        self.feeds = Feeds(store, self.rooms, clock, lambda: relay.is_up, _feed_limits(random), went_back=world.mishaps.append)
        self.outbox = Outbox(
            store,
            relay,
            clock,
            lambda record: offer(self.feeds, record),
            _outbox_limits(random),
            may_publish=lambda: True,  # the world sees to the leases
        )
        self.intake = Intake(store, clock, self.outbox.stored, IntakeLimits(group_rows=random.choice((1, 3, 100))))
        limits = RecoveryLimits(world.missed_limit, random.choice((1, 2, 5)), burst_bytes=random.choice((1, 1500, 10_000)))
        self.recovery = Recovery(store, self.feeds, limits)
        slices = random.choice((1, 2, 100))
        self.delivery = Delivery(
            self.router, self.feeds, relay, Wire(None), origin=epoch, slice_receivers=slices, hinted=lambda queue: None
        )
        queues = QueueDesk(MemoryQueues(), relay, clock, QueueLimits(), owner=epoch, may_claim=lambda: False)
        self.feeds.listen(self.delivery)
        relay.listen(self.delivery)
        self.sessions = MemorySessions(self.id)
        self.gate = Gate(
            settings=_gate_settings(random, self.id),
            clock=clock,
            wheel=self.wheel,
            loop=self.loop,
            authenticator=HeaderAuthenticator(anonymous=False),
            authoriser=RoomAuthoriser(self.rooms),
            rooms=self.rooms,
            intake=self.intake,
            feeds=self.feeds,
            recovery=self.recovery,
            sessions=self.sessions,
            router=self.router,
            delivery=self.delivery,
            queues=queues,
            closed_log=lambda _peer, _cause: None,
        )

    def start(self) -> None:
        """Begin as the daemon does."""
        self.loop.run_task(self._start())

    async def _start(self) -> None:
        await self.relay.open()
        self.feeds.start()
        self.outbox.start()

    def turn_wheel(self) -> None:
        with self.loop.entered():
            self.wheel.advance(self.clock.monotonic())


def _feed_limits(random: Random) -> FeedLimits:
    return FeedLimits(
        ring_messages=random.choice((0, 2, 10)),
        held_messages=random.choice((1, 2, 20)),
        page_messages=random.choice((1, 2, 20)),
    )


def _outbox_limits(random: Random) -> OutboxLimits:
    return OutboxLimits(marks=random.choice((1, 2, 100)), sweep_records=random.choice((1, 3, 100)))


def _gate_settings(random: Random, server_id: str) -> GateSettings:
    return replace(
        _usual(),
        server_id=server_id,
        sends_in_flight=random.choice((1, 2, 64)),
        frames_per_turn=random.choice((1, 3, 64)),
        unread_bytes=random.choice((100, 100_000)),
    )
