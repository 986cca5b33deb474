"""The settings cut into portions: each part of the program is handed its own values, in its own terms, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, Literal

from stompgate import __version__
from stompgate.access.addresses import Networks
from stompgate.access.origins import AllowedOrigins
from stompgate.broker.transactions import TransactionLimits
from stompgate.chat.feeds import FeedLimits
from stompgate.chat.inquiries import InquiryLimits
from stompgate.chat.intake import IntakeLimits
from stompgate.chat.recovery import RecoveryLimits
from stompgate.chat.retention import RetentionLimits
from stompgate.gateway.drain import DrainSettings
from stompgate.gateway.gate import GateSettings
from stompgate.gateway.queue_intake import QueueLimits
from stompgate.http import parts as http
from stompgate.stomp.frames import HEARTBEAT
from stompgate.stomp.heartbeats import HeartBeat
from stompgate.stomp.parser import Limits
from stompgate.transports.deflate import Deflate, DeflateLimits
from stompgate.transports.door import ListenLimits
from stompgate.transports.http_protocols import HeadLimits
from stompgate.transports.outbox import OutboxLimits
from stompgate.transports.sockjs_mount import SockJsOptions
from stompgate.transports.sockjs_session import SockJsLimits
from stompgate.transports.websocket import WebSocketLimits

from .settings import EVERYONE, Chat, Connections, Drain, Http, Inquiries, Listen, Retention, Settings, WebSocket

_SECTIONS = {"mysql": "mysql", "kafka": "kafka", "redis": "redis", "rediss": "redis", "smtp": "smtp", "smtps": "smtp"}


def backend_options(settings: Settings, url: str) -> dict[str, Any]:
    """The keys of the section that belongs to the backend of ``url``, by its scheme; none for one that has no section."""
    section = _SECTIONS.get(url.partition(":")[0])
    return getattr(settings, section).model_dump() if section else {}


def feed_limits(chat: Chat) -> FeedLimits:
    """For ``chat.feeds``."""
    return FeedLimits(
        ring_messages=chat.ring_messages,
        held_messages=chat.held_messages,
        page_messages=chat.page_messages,
        gap_wait_s=chat.gap_wait_ms / 1000,
        compare_every_s=chat.compare_every_s,
        compare_every_down_s=chat.compare_every_down_s,
    )


def intake_limits(chat: Chat) -> IntakeLimits:
    """For ``chat.intake``."""
    return IntakeLimits(
        group_rows=chat.group_limit_rows,
        group_bytes=chat.group_limit_bytes,
        waiting_rows=chat.waiting_limit_rows,
        unknown_for_s=chat.unknown_outcome_s,
    )


def recovery_limits(chat: Chat) -> RecoveryLimits:
    """For ``chat.recovery``."""
    return RecoveryLimits(missed_messages=chat.catch_up_limit_messages, page_messages=chat.page_messages)


def inquiry_limits(inquiries: Inquiries) -> InquiryLimits:
    """For ``chat.inquiries``."""
    return InquiryLimits(**inquiries.model_dump())


def retention_limits(retention: Retention) -> RetentionLimits:
    """For ``chat.retention``."""
    return RetentionLimits(**retention.model_dump())


def gate_settings(settings: Settings) -> GateSettings:
    """For ``gateway``. The advertised port is the listener's to say, once it has one."""
    stomp, connections = settings.stomp, settings.connections
    frame_limits = Limits(stomp.frame_limit_bytes, stomp.header_line_limit_bytes, stomp.headers_limit)
    return GateSettings(
        server_id=settings.server_id,
        advertised_host=settings.listen.host or "localhost",
        advertised_port=settings.listen.port,
        product=f"stompgate/{__version__}",
        frame_limits=frame_limits,
        stranger_limits=replace(frame_limits, frame_bytes=stomp.before_connect_limit_bytes),
        heart_beat=HeartBeat(stomp.heart_beat_send_ms, stomp.heart_beat_receive_ms),
        heart_beat_grace_factor=stomp.heart_beat_grace_factor,
        heart_beat_grace_floor_s=stomp.heart_beat_grace_floor_s,
        names_server=stomp.server_header,
        first_frame_s=stomp.first_frame_timeout_s,
        sends_in_flight=connections.sends_in_flight,
        unread_bytes=connections.unread_limit_bytes,
        frames_per_turn=connections.frames_per_turn,
        subscriptions=connections.subscriptions,
        unacknowledged=connections.unacknowledged,
        transactions=TransactionLimits(
            connections.transactions, connections.transaction_limit_frames, connections.transaction_limit_bytes
        ),
        bare_names_are_queues=settings.queues.bare_names,
        prefetch=settings.queues.prefetch,
        content_chars=settings.chat.content_limit_chars,
        closing_grace_s=connections.closing_grace_s,
    )


def drain_settings(drain: Drain) -> DrainSettings:
    """For ``gateway.drain``."""
    return DrainSettings(drain.window_s, drain.closes_per_s, drain.answers_s)


def queue_limits(settings: Settings) -> QueueLimits:
    """For ``gateway.queueing``."""
    queues = settings.queues
    return QueueLimits(
        messages=queues.limit_messages,
        waiting_messages=queues.waiting_limit_messages,
        look_every_s=queues.look_every_s,
        unknown_for_s=settings.chat.unknown_outcome_s,
    )


def operators(settings: Http) -> Networks | Literal["*"]:
    """For ``http``: whose hosts are operators'."""
    if EVERYONE in settings.operators:
        return http.EVERYONE
    return tuple(ip_network(network) for network in settings.operators)


def proxies(settings: Http) -> Networks:
    """For whoever wants to know whose a connection is."""
    return tuple(ip_network(network) for network in settings.proxies)


def http_settings(settings: Settings, origins: AllowedOrigins) -> http.HttpSettings:
    """For ``http``."""
    return http.HttpSettings(
        operators=operators(settings.http),
        history_needs_user=settings.http.history_needs_user,
        allowed_origins=origins,
        body_limit_bytes=settings.http.body_limit_bytes,
        proxies=proxies(settings.http),
        operator_token=settings.operator.token.get_secret_value(),
        tail_limit_bytes=settings.connections.outbox_limit_bytes,
    )


def listen_limits(listen: Listen, connections: int) -> ListenLimits:
    """For ``transports.door``. ``connections``: how many there may be."""
    return ListenLimits(listen.head_timeout_s, head_limits(listen), connections, listen.backlog, listen.silence_limit_s)


def head_limits(listen: Listen) -> HeadLimits:
    """For ``transports.http_protocols``, and the door before them."""
    return HeadLimits(listen.head_limit_bytes, listen.head_limit_headers)


def websocket_limits(settings: Settings) -> WebSocketLimits:
    """For ``transports.websocket``. A stranger may send what one STOMP frame may have, and no more at a time."""
    websocket = settings.websocket
    stranger_bytes = min(settings.stomp.frame_limit_bytes, websocket.message_limit_bytes)
    turn = settings.connections.frames_per_turn
    return WebSocketLimits(websocket.message_limit_bytes, stranger_bytes, websocket.close_timeout_s, turn)


def deflate(websocket: WebSocket) -> Deflate | None:
    """For ``transports.handshake``: what is agreed about compression, if anything."""
    if not websocket.compression:
        return None
    return Deflate(
        DeflateLimits(
            least_bytes=websocket.compression_least_bytes,
            free_bytes=websocket.compression_free_bytes,
            ratio=websocket.compression_ratio_limit,
            message_bytes=websocket.message_limit_bytes,
            stranger_bytes=websocket.compression_stranger_limit_bytes,
        )
    )


def sockjs_options(settings: Settings) -> Sequence[SockJsOptions]:
    """For ``transports.sockjs_mount``: one mount, or none. In the place of a message that is no text goes a heart-beat."""
    sockjs, connections = settings.sockjs, settings.connections
    if not sockjs.enabled:
        return ()
    limits = SockJsLimits(
        heart_beat_s=sockjs.heart_beat_s,
        disconnect_delay_s=sockjs.disconnect_delay_s,
        response_bytes=sockjs.response_limit_bytes,
        cache_messages=sockjs.cache_messages,
        cache_bytes=connections.outbox_limit_bytes,
        cache_s=connections.outbox_time_limit_s,
        body_bytes=sockjs.body_limit_bytes,
        stranger_body_bytes=min(settings.stomp.frame_limit_bytes, sockjs.body_limit_bytes),
    )
    options = SockJsOptions(
        path=sockjs.path,
        client_url=sockjs.client_url,
        has_websocket=sockjs.websocket,
        sets_cookie=sockjs.cookie,
        instead=HEARTBEAT,
        keeps_surrogates=False,
        like_spring=sockjs.like_spring,
        proxies=proxies(settings.http),
        limits=limits,
    )
    return (options,)


def send_limits(connections: Connections) -> OutboxLimits:
    """For ``transports.outbox``."""
    return OutboxLimits(connections.outbox_limit_bytes, connections.outbox_time_limit_s)
