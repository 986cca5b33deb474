"""Who is who: the one module that puts the parts together. It decides nothing at run time and does no work of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from starlette.types import ASGIApp

from stompgate.access.authoriser import RoomAuthoriser
from stompgate.access.identities import HeaderAuthenticator
from stompgate.access.origins import AllowedOrigins
from stompgate.broker.router import Router
from stompgate.chat.departures import Departures
from stompgate.chat.feeds import Feeds
from stompgate.chat.history import History
from stompgate.chat.inquiries import Inquiries
from stompgate.chat.intake import Intake
from stompgate.chat.lease import LeaseKeeper
from stompgate.chat.outbox import Outbox, OutboxLimits, Owed
from stompgate.chat.recovery import Recovery
from stompgate.chat.retention import Retention
from stompgate.chat.rooms import RoomLimits, Rooms
from stompgate.chat.wire import Wire
from stompgate.gateway.delivery import Delivery
from stompgate.gateway.drain import Drain
from stompgate.gateway.gate import Gate
from stompgate.gateway.operating import Operating
from stompgate.gateway.peer import Peer
from stompgate.gateway.queueing import QueueDesk
from stompgate.gateway.subscriptions import Subscription
from stompgate.http.app import build_app, build_operator_app
from stompgate.http.measures import Sources
from stompgate.http.parts import HttpParts, HttpSettings, PartHealth
from stompgate.model.causes import Cause
from stompgate.model.ids import new_epoch
from stompgate.model.records import ChatRecord
from stompgate.ports.auth import Authenticator
from stompgate.ports.clock import Clock
from stompgate.ports.mail import Mail
from stompgate.ports.part import SetupError
from stompgate.ports.queues import Queues
from stompgate.ports.relay import Relay
from stompgate.ports.sessions import Sessions
from stompgate.ports.store import Store
from stompgate.queues.memory import MemoryQueues
from stompgate.timing.wheel import TimerWheel
from stompgate.transports.door import Doorkeeper, House
from stompgate.transports.handshake import Doorman
from stompgate.transports.http_side import HttpSide
from stompgate.transports.listener import Listener
from stompgate.transports.outbox import Flusher
from stompgate.transports.sockjs_mount import SockJsMount, SockJsMounts
from stompgate.transports.tcp import TcpDoor
from stompgate.transports.ticker import Ticker

from . import portions
from .backends import Kind, resolve
from .container import Container
from .operator_door import OperatorDoor
from .settings import Auth, Listen, Settings
from .statistics import Statistics

TICK_S = 0.05

_log = structlog.get_logger("stompgate.connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """The chat service. ``epoch`` names this life of this server: the owner of its lease, and the origin of its broadcasts."""

    epoch: str
    wire: Wire
    rooms: Rooms
    departures: Departures
    feeds: Feeds
    lease: LeaseKeeper
    outbox: Outbox
    intake: Intake
    recovery: Recovery
    history: History
    inquiries: Inquiries
    retention: Retention


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The parts of a server that its life, in ``daemon``, deals with."""

    container: Container
    chat: Chat
    gate: Gate
    drain: Drain
    ticker: Ticker
    http: HttpSide
    operator_door: OperatorDoor
    http_settings: HttpSettings
    house: House
    origins: AllowedOrigins
    listeners: Sequence[Listener]
    health: ServerHealth
    statistics: Statistics


class ServerHealth:
    """What the health page says: the parts of the container, and whether the server takes anyone in."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self.is_listening = False
        self.draining_since = ""

    def live(self) -> bool:
        """While this can be asked, the process serves."""
        return True

    async def parts(self) -> Sequence[PartHealth]:
        """Every part as it is now."""
        states = await self._container.ping()
        return [self._listener(), *(PartHealth(state.name, state.ok, state.reason, state.needed) for state in states)]

    def _listener(self) -> PartHealth:
        if self.draining_since:
            return PartHealth("listener", ok=False, reason=f"draining since {self.draining_since}", needed=True)
        reason = "" if self.is_listening else "the server is starting"
        return PartHealth("listener", self.is_listening, reason, needed=True)


def wire(
    settings: Settings,
    clock: Clock,
    loop: asyncio.AbstractEventLoop,
    *,
    connections: int,
    fatal: Callable[[str], None],
    went_back: Callable[[str], None],
    stop: Callable[[], None],
) -> Server:
    """Put a server together, nothing opened yet. Raises ``SetupError``.

    ``connections``: how many there may be. ``fatal`` is told, in a sentence, why the server must not go on; ``went_back`` the
    same, where none may before someone has looked. ``stop`` has it go down in good order.
    """
    container = make_container(settings, clock)
    wheel = TimerWheel(TICK_S)
    health = ServerHealth(container)
    chat = _chat(settings, container, clock, fatal, went_back)
    gate = _gate(settings, container, chat, clock, wheel, loop)
    ticker = Ticker(wheel, clock, TICK_S, warn_s=settings.log.loop_lag_s)
    origins = AllowedOrigins(settings.listen.allowed_origins)
    http_settings = portions.http_settings(settings, origins)
    flusher = Flusher(loop, wheel, portions.send_limits(settings.connections))
    sockjs = [
        SockJsMount(options, origins, flusher, gate.attach, lambda: house.objection())
        for options in portions.sockjs_options(settings)
    ]
    parts = HttpParts(
        server_id=settings.server_id,
        rooms=chat.rooms,
        history=chat.history,
        inquiries=chat.inquiries,
        sessions=container.get(Sessions),
        wire=chat.wire,
        clock=clock,
        health=health,
        sources=lambda: sources,
        operating=Operating(gate),
        stop=stop,
    )
    http = _http_side(settings.listen, clock, SockJsMounts(sockjs, build_app(parts, http_settings)))
    house = House(
        doorman=Doorman(settings.websocket.paths, origins, portions.deflate(settings.websocket), sockjs),
        http=http,
        gateway=gate,
        flusher=flusher,
        limits=portions.listen_limits(settings.listen, connections),
        websocket_limits=portions.websocket_limits(settings),
        proxies=portions.proxies(settings.http),
    )
    http.door = lambda: Doorkeeper(house)
    measured = [*container.measured(), chat.inquiries, chat.retention, *sockjs]
    sources = Sources(gate=gate, outbox=chat.outbox, door=house, http=http, loop=ticker, measured=measured)
    return Server(
        container=container,
        chat=chat,
        gate=gate,
        drain=Drain(gate, portions.drain_settings(settings.drain)),
        ticker=ticker,
        http=http,
        operator_door=OperatorDoor(
            _http_side(settings.listen, clock, build_operator_app(parts, http_settings)), settings, os.environ
        ),
        http_settings=http_settings,
        house=house,
        origins=origins,
        listeners=_listeners(settings, house, loop),
        health=health,
        statistics=Statistics(settings.server_id, clock, sources, health),
    )


def _listeners(settings: Settings, house: House, loop: asyncio.AbstractEventLoop) -> Sequence[Listener]:
    """The port for everything, and the one for STOMP over TCP where there is one."""
    listeners = [Listener(house, loop, lambda: Doorkeeper(house))]
    if settings.tcp.port >= 0:
        listeners.append(Listener(house, loop, lambda: TcpDoor(house, settings.connections.closing_grace_s)))
    return listeners


def _chat(
    settings: Settings,
    container: Container,
    clock: Clock,
    fatal: Callable[[str], None],
    went_back: Callable[[str], None],
) -> Chat:
    epoch = new_epoch()
    store, relay = container.get(Store), container.get(Relay)
    rooms = Rooms(store, lambda change: outbox.announce(change), RoomLimits(settings.chat.rooms_cached))
    departures = Departures(rooms)
    relay.listen_for_departures(departures.depart)
    feeds = Feeds(store, rooms, clock, lambda: relay.is_up, portions.feed_limits(settings.chat), went_back=went_back)
    lease = LeaseKeeper(store, clock, settings.server_id, epoch, fatal)
    outbox = Outbox(store, relay, clock, lambda record: offer(feeds, record), OutboxLimits(), may_publish=lambda: lease.is_held)
    return Chat(
        epoch=epoch,
        wire=Wire(settings.zone),
        rooms=rooms,
        departures=departures,
        feeds=feeds,
        lease=lease,
        outbox=outbox,
        intake=Intake(store, clock, outbox.stored, portions.intake_limits(settings.chat)),
        recovery=Recovery(store, feeds, portions.recovery_limits(settings.chat)),
        history=History(store, settings.chat.page_messages),
        inquiries=Inquiries(store, container.get(Mail), clock, portions.inquiry_limits(settings.inquiries)),
        retention=Retention(store, clock, portions.retention_limits(settings.retention)),
    )


def _gate(
    settings: Settings,
    container: Container,
    chat: Chat,
    clock: Clock,
    wheel: TimerWheel,
    loop: asyncio.AbstractEventLoop,
) -> Gate:
    router: Router[Subscription] = Router()
    relay, slice_receivers = container.get(Relay), settings.connections.fan_out_slice
    queues = QueueDesk(
        queues_of(settings, container),
        relay,
        clock,
        portions.queue_limits(settings),
        owner=chat.epoch,
        may_claim=lambda: chat.lease.is_held,
    )
    delivery = Delivery(
        router,
        chat.feeds,
        relay,
        chat.wire,
        origin=chat.epoch,
        slice_receivers=slice_receivers,
        hinted=queues.hint,
    )
    chat.feeds.listen(delivery)
    relay.listen(delivery)
    return Gate(
        settings=portions.gate_settings(settings),
        clock=clock,
        wheel=wheel,
        loop=loop,
        authenticator=_authenticator(settings.auth, clock),
        authoriser=RoomAuthoriser(chat.rooms),
        rooms=chat.rooms,
        intake=chat.intake,
        feeds=chat.feeds,
        recovery=chat.recovery,
        sessions=container.get(Sessions),
        router=router,
        delivery=delivery,
        queues=queues,
        closed_log=log_close,
    )


def _http_side(listen: Listen, clock: Clock, app: ASGIApp) -> HttpSide:
    return HttpSide(app, clock.monotonic, patience_s=listen.head_timeout_s, head=portions.head_limits(listen))


def _authenticator(auth: Auth, clock: Clock) -> Authenticator:
    """Raises ``SetupError`` for a users file that cannot be used."""
    if auth.mode == "header":
        return HeaderAuthenticator(anonymous=auth.anonymous)
    # Imported only here: nothing else needs the hashing library.
    from stompgate.auth.users_file import UsersFile, UsersFileLimits, read_users

    limits = UsersFileLimits(auth.hashing_threads, auth.waiting_limit, auth.remember_s)
    return UsersFile(read_users(Path(auth.users_file)), clock, limits)


def queues_of(settings: Settings, container: Container) -> Queues:
    """Where the messages of queues wait. Raises ``SetupError`` if it is to be a store that keeps none."""
    if settings.queues.keep == "memory":
        return MemoryQueues()
    store = container.get(Store)
    if not isinstance(store, Queues):
        raise SetupError('queues.keep: this store keeps no queues; expected "memory"')
    return store


def make_container(settings: Settings, clock: Clock) -> Container:
    """The parts behind the ports, chosen by their URLs. Raises ``SetupError`` for a URL that nothing can be made of."""
    container = Container()
    container.register(Store, _recipe(Kind.STORE, settings, clock))
    container.register(Sessions, _recipe(Kind.SESSIONS, settings, clock), needed=False)
    container.register(Mail, _recipe(Kind.MAIL, settings, clock), needed=False)
    container.register(Relay, _recipe(Kind.RELAY, settings, clock), needed=False)
    return container


def offer(feeds: Feeds, record: Owed) -> None:
    """Take what was stored here to this server's own feeds."""
    if isinstance(record, ChatRecord):
        feeds.offer(record.message)
    else:
        feeds.changed(record)


def _recipe(kind: Kind, settings: Settings, clock: Clock) -> Callable[[], Any]:
    url = getattr(settings, kind.key).get_secret_value()
    make = resolve(kind, url)
    options = portions.backend_options(settings, url)
    return lambda: make(url, server_id=settings.server_id, clock=clock, zone=settings.zone, options=options)


def log_close(peer: Peer, cause: Cause) -> None:
    """One line for each connection that ended."""
    link = peer.link
    _log.info(
        "connection closed",
        connection=peer.id,
        cause=cause.code,
        close_code=link.close_code or cause.close_code,
        lasted_s=round(peer.gate.clock.monotonic() - peer.opened_s, 1),
        user=peer.identity.user,
        address=link.describe(),
        transport=link.transport,
        version=peer.version.value if peer.has_connected else None,
        frames_in=peer.frames_in,
        bytes_in=peer.bytes_in,
        delivered=peer.delivered,
        bytes_out=peer.bytes_out,
        subscriptions=peer.subscriptions.left,
    )
