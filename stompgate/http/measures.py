"""What is measured, in one table: the name that Prometheus sees, what it means, and where the number is kept.

The parts count in plain integers; they are read here, when someone asks. Reading must cost the same however many
connections there are: nothing here walks over them. Names end in their unit, and those of counters in ``_total``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from stompgate.chat.outbox import Outbox
from stompgate.gateway.gate import Gate
from stompgate.model.causes import Cause
from stompgate.ports.part import Measured
from stompgate.stomp.frames import CLIENT_COMMANDS
from stompgate.timing.histogram import Histogram


class Loop(Protocol):
    """Who knows how late the event loop is. ``lag_s``: at the last look; ``worst_lag_s``: since that was last set to 0."""

    lag_s: float
    worst_lag_s: float
    lags_s: Histogram
    stalls: int
    longest_stall_s: float


class Door(Protocol):
    """Who knows how many connections wait at the door, and why others were refused there."""

    @property
    def waiting(self) -> int:
        """How many wait now."""

    @property
    def refused(self) -> Mapping[Cause, int]:
        """How many were refused, by cause."""


class HttpConnections(Protocol):
    """Who knows the connections that speak HTTP."""

    @property
    def connected(self) -> int:
        """How many there are now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the numbers are. ``measured``: the parts behind the ports that keep figures of their own."""

    gate: Gate
    outbox: Outbox
    door: Door
    http: HttpConnections
    loop: Loop
    measured: Sequence[Measured]


class Kind(Enum):
    """What a number may do: a counter only rises, a gauge does as it likes, a histogram has buckets."""

    COUNTER = auto()
    GAUGE = auto()
    HISTOGRAM = auto()


Reading = float | Mapping[str, float] | Histogram
"""One number; several by the value of a label; or a histogram."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table. ``label`` tells the numbers of a mapping apart."""

    kind: Kind
    name: str
    about: str
    read: Callable[[Sources], Reading]
    label: str = ""


def _counter(name: str, about: str, read: Callable[[Sources], Reading], label: str = "") -> Measure:
    return Measure(Kind.COUNTER, f"stompgate_{name}", about, read, label)


def _gauge(name: str, about: str, read: Callable[[Sources], Reading], label: str = "") -> Measure:
    return Measure(Kind.GAUGE, f"stompgate_{name}", about, read, label)


def _histogram(name: str, about: str, read: Callable[[Sources], Histogram]) -> Measure:
    return Measure(Kind.HISTOGRAM, f"stompgate_{name}", about, read)


def _by_cause(counts: Mapping[Cause, int], causes: Iterable[Cause]) -> Mapping[str, float]:
    """All of the causes, so that the first of a kind shows as a rise."""
    return {cause.code: counts.get(cause, 0) for cause in causes} | {cause.code: count for cause, count in counts.items()}


_AT_THE_DOOR: Final = (
    Cause.BAD_REQUEST,
    Cause.FRAME_TOO_LARGE,
    Cause.HEAD_LATE,
    Cause.NOT_FOUND,
    Cause.ORIGIN_REFUSED,
    Cause.SERVER_STOPPING,
    Cause.TOO_MANY_CONNECTIONS,
)
_BY_THE_STORE: Final = (
    Cause.INTERNAL,
    Cause.NO_SUCH_ROOM,
    Cause.OUTCOME_UNKNOWN,
    Cause.OVERLOADED,
    Cause.STORE_UNAVAILABLE,
)


def _connections(sources: Sources) -> Mapping[str, float]:
    counters = sources.gate.counters
    return {transport: opened - counters.gone[transport] for transport, opened in counters.opened.items()} | {
        "http": sources.http.connected
    }


TABLE: Final = (
    # Connections
    _gauge("connections", "Connections that there are now.", _connections, "transport"),
    _counter(
        "connections_opened_total", "Connections that came to speak STOMP.", lambda s: s.gate.counters.opened, "transport"
    ),
    _counter(
        "connections_refused_total",
        "Connections refused before they spoke STOMP, by the cause that they were told.",
        lambda s: _by_cause(s.door.refused, _AT_THE_DOOR),
        "cause",
    ),
    _counter(
        "connections_closed_total",
        "Connections that ended, by cause: heartbeat-lost are those that fell silent, slow-consumer those that did not read.",
        lambda s: _by_cause(s.gate.closes, Cause),
        "cause",
    ),
    _gauge("connections_at_the_door", "Connections that have not said yet what they are.", lambda s: s.door.waiting),
    # Frames and subscriptions
    _counter(
        "frames_received_total",
        "STOMP frames of clients that were taken, by command.",
        lambda s: {command: s.gate.counters.frames[command] for command in sorted(CLIENT_COMMANDS)},
        "command",
    ),
    _counter("connects_accepted_total", "CONNECTED frames that were sent.", lambda s: s.gate.counters.connecteds),
    _counter("messages_delivered_total", "MESSAGE frames given to subscriptions.", lambda s: s.gate.delivery.deliveries),
    _gauge(
        "fan_out_waiting_messages",
        "Messages that wait until an earlier one of their destination has reached all its receivers.",
        lambda s: s.gate.delivery.backlogged,
    ),
    _gauge("subscriptions", "Subscriptions that are live; those that catch up are not.", lambda s: len(s.gate.router)),
    _gauge("destinations", "Destinations and patterns that somebody is subscribed to.", lambda s: s.gate.router.destinations),
    _counter("sessions_opened_total", "Sessions of users that began.", lambda s: s.gate.counters.sessions_opened),
    _counter("sessions_closed_total", "Sessions of users that ended.", lambda s: s.gate.counters.sessions_gone),
    # The way into the store
    _counter("messages_stored_total", "Messages of rooms that were stored.", lambda s: s.gate.intake.accepted),
    _counter(
        "messages_repeated_total",
        "Messages that had been stored before, found by their client-message-id, and were not stored again.",
        lambda s: s.gate.intake.repeated,
    ),
    _counter(
        "messages_rejected_total",
        "Checked messages that were not stored, or of which it is not known, by cause.",
        lambda s: _by_cause(s.gate.intake.rejected, _BY_THE_STORE),
        "cause",
    ),
    _gauge("intake_waiting_messages", "Messages that wait for the next group.", lambda s: s.gate.intake.waiting_rows),
    _histogram("intake_commit_seconds", "Time that the store took to commit a group.", lambda s: s.gate.intake.commit_s),
    _histogram("intake_group_messages", "Messages in a group.", lambda s: s.gate.intake.group_rows),
    # The way to the other servers
    _gauge(
        "outbox_owed_records",
        "Records that the last sweep found owed to the other servers, as many as a sweep reads (500) at most.",
        lambda s: s.outbox.owed,
    ),
    _gauge("outbox_on_the_way_records", "Records that the relay has not answered yet.", lambda s: s.outbox.on_the_way),
    _gauge(
        "outbox_unmarked_records", "Records that the relay has, and whose rows do not say so yet.", lambda s: s.outbox.unmarked
    ),
    _counter("outbox_swept_total", "Records that had stayed behind and that a sweep published.", lambda s: s.outbox.swept),
    _counter("outbox_refused_total", "Records that the relay refused for good.", lambda s: s.outbox.refused),
    _histogram(
        "outbox_relayed_seconds",
        "Time from the publication of a record to the relay's acknowledgement.",
        lambda s: s.outbox.relayed_s,
    ),
    # The order of rooms
    _gauge("feeds", "Rooms that somebody here listens to.", lambda s: len(s.gate.feeds)),
    _gauge("rooms_remembered", "Rooms whose members are kept in memory.", lambda s: s.gate.rooms.remembered),
    _counter("sequencer_gaps_total", "Gaps that were read from the store.", lambda s: s.gate.feeds.gaps),
    _counter(
        "sequencer_repeats_total",
        "Messages that came again and were dropped: each that this server sends itself comes back once.",
        lambda s: s.gate.feeds.repeats,
    ),
    _counter(
        "wrong_epoch_total", "Records dropped since they are of another life of the store.", lambda s: s.gate.feeds.wrong_epoch
    ),
    _counter("broadcast_repeats_total", "Records of other destinations that came again.", lambda s: s.gate.delivery.repeats),
    _counter(
        "room_subscriptions_total",
        "Subscriptions to rooms that began: anew, or with what was missed (recovered) or without (not-recovered).",
        lambda s: {
            "new": s.gate.recovery.begun[None],
            "recovered": s.gate.recovery.begun[True],
            "not-recovered": s.gate.recovery.begun[False],
        },
        "begun",
    ),
    _counter("catch_ups_total", "Times that a subscription fell behind and caught up.", lambda s: s.gate.recovery.catch_ups),
    # Queues
    _counter("queue_messages_put_total", "Messages put into queues.", lambda s: s.gate.queues.put),
    _gauge(
        "queue_on_the_way_messages",
        "Messages for queues that wait for their turn to be put.",
        lambda s: s.gate.queues.waiting_messages,
    ),
    _counter("queue_messages_given_total", "Messages of queues given to consumers here.", lambda s: s.gate.queues.given),
    _counter(
        "queue_messages_redelivered_total",
        "Of these, messages that were claimed before, and may have been given before.",
        lambda s: s.gate.queues.redelivered,
    ),
    _counter(
        "queue_messages_consumed_total",
        "Messages of queues that consumers here have acknowledged, and that are gone.",
        lambda s: s.gate.queues.consumed,
    ),
    _counter(
        "queue_messages_returned_total",
        "Messages of queues that consumers here refused or left behind, and that wait again.",
        lambda s: s.gate.queues.returned,
    ),
    # The process
    _gauge("event_loop_lag_seconds", "How late the event loop was at the last tick.", lambda s: s.loop.lag_s),
    _histogram("event_loop_tick_lag_seconds", "How late the event loop was, tick by tick.", lambda s: s.loop.lags_s),
    _counter("event_loop_stalls_total", "Ticks that were half a second late or more.", lambda s: s.loop.stalls),
    _gauge("event_loop_longest_stall_seconds", "The longest of them since the start.", lambda s: s.loop.longest_stall_s),
)
