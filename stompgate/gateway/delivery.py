"""Delivery: what a stored or relayed message does.

A message is encoded once for all who can share its bytes, and the same bytes are offered to each. A great many receivers
are served in slices that let others run between; what comes for the same destination meanwhile waits its turn, so that
order holds. Nothing here waits for a receiver.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Final

from stompgate.broker import users
from stompgate.broker.destinations import ROOM_PREFIX, room_destination
from stompgate.broker.router import Router, Topic
from stompgate.chat.feeds import Feeds
from stompgate.chat.wire import Wire
from stompgate.model.messages import ChatMessage
from stompgate.model.records import BrokerRecord, ChatRecord, ForeignRecord, QueueHint, Record, RoomChanged
from stompgate.model.rooms import Members
from stompgate.ports.relay import Relay
from stompgate.stomp.serializer import MessageTemplate
from stompgate.stomp.versions import Version

from .subscriptions import Encoding, Subscription

_CONGESTED_MESSAGES: Final = 64
_CONGESTED_RELAY_MESSAGES: Final = 1024
_REMEMBERED_ORIGINS: Final = 10_000
_JSON: Final = ("content-type", "application/json")

Slice = tuple[Hashable, Sequence[Subscription]]


class Outgoing:
    """A MESSAGE before it is encoded. ``seq`` is None for what is not numbered; ``shown`` is the name its receivers know."""

    __slots__ = ("_shown", "_templates", "body", "destination", "headers", "id", "is_text", "seq")

    def __init__(
        self,
        destination: str,
        message_id: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        seq: int | None = None,
        shown: str = "",
    ) -> None:
        self.destination = destination
        self._shown = shown or destination
        self.id = message_id
        self.headers = headers
        self.body = body
        self.seq = seq
        self.is_text = _is_utf8(body)
        self._templates: dict[Version, MessageTemplate] = {}

    def template(self, version: Version) -> MessageTemplate:
        """The message in a version, made once."""
        template = self._templates.get(version)
        if template is None:
            template = MessageTemplate.of(self._shown, self.id, self.headers, self.body, version)
            self._templates[version] = template
        return template


class Delivery:
    """Takes messages from the relay and from the feeds, and offers them to this server's subscriptions.

    ``origin`` is this life of this server: its own broadcasts are delivered as they are taken in, and dropped when the
    relay brings them back, so that they reach everyone here also while the relay is down. ``hinted`` is told which queues
    have messages, by other servers' word: each knows its own.
    """

    def __init__(
        self,
        router: Router[Subscription],
        feeds: Feeds,
        relay: Relay,
        wire: Wire,
        *,
        origin: str,
        slice_receivers: int,
        hinted: Callable[[str], None],
    ) -> None:
        self._router = router
        self._feeds = feeds
        self._relay = relay
        self._wire = wire
        self._origin = origin
        self._slice_receivers = slice_receivers
        self._hinted = hinted
        self._counter = 0
        self._last_counters: dict[tuple[str, int], int] = {}
        self._backlogs: dict[str, deque[Outgoing]] = {}
        self._backlogged = 0  # messages in all backlogs
        self._waiters: dict[str, asyncio.Future[None]] = {}
        self._relay_waiter: asyncio.Future[None] | None = None
        self.deliveries = 0
        self.repeats = 0

    @property
    def backlogged(self) -> int:
        """Messages that wait for the fan-out of an earlier one."""
        return self._backlogged

    # What comes in

    def receive(self, records: Sequence[Record]) -> None:
        """Records from the relay, this server's own included."""
        for record in records:
            match record:
                case ChatRecord(message):
                    self._feeds.offer(message)
                case BrokerRecord():
                    self._take_broadcast(record)
                case RoomChanged():
                    self._feeds.changed(record)
                case QueueHint(queue, origin):
                    if origin != self._origin:
                        self._hinted(queue)
                case ForeignRecord():
                    self._send(self._foreign(record))

    def relay_reset(self) -> None:
        """Records may have been missed."""
        self._feeds.compare_now()

    def congestion(self) -> Awaitable[None] | None:
        """None while the receivers keep up, else an awaitable that ends when half of what waits for them has gone."""
        if self._backlogged < _CONGESTED_RELAY_MESSAGES:
            return None
        if self._relay_waiter is None:
            self._relay_waiter = asyncio.get_running_loop().create_future()
        return asyncio.shield(self._relay_waiter)

    def broadcast(self, destination: str, message_id: str, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        """A client's message to a destination that is not stored: here at once, elsewhere by the relay."""
        self._counter += 1
        record = BrokerRecord(self._origin, self._counter, message_id, destination, headers, body)
        self._send(Outgoing(destination, message_id, headers, body, shown=users.shown(destination)))
        self._relay.publish(record)

    def deliver(self, message: ChatMessage) -> None:
        """The next message of its room."""
        self._send(self._chat(message))

    def give(self, message: ChatMessage, subscription: Subscription) -> None:
        """One room's message for one subscription that catches up."""
        outgoing = self._chat(message)
        subscription.last_seq = message.seq
        self._write(outgoing, subscription.encoding, (subscription,))

    def tell(self, subscription: Subscription, message_id: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """A message for one subscription alone, to the destination that it named."""
        outgoing = Outgoing(subscription.destination, message_id, headers, body, shown=subscription.name)
        self._write(outgoing, subscription.encoding, (subscription,))

    def members_changed(self, room: str, members: Members | None) -> None:
        """End the subscriptions of those who are members no longer. Whoever catches up is checked page by page."""
        topic = self._router.topic(room_destination(room))
        if topic is None:
            return
        for subscription in [subscription for group in topic.groups.values() for subscription in group]:
            user = subscription.peer.identity.user
            gone = members is None or members.deleted
            if gone or (members is not None and user is not None and user not in members.users):
                subscription.peer.subscriptions.end(subscription)

    def congestion_at(self, destination: str) -> Awaitable[None] | None:
        """None while the receivers of a destination keep up, else an awaitable that ends as that of ``congestion``."""
        backlog = self._backlogs.get(destination)
        if backlog is None or len(backlog) < _CONGESTED_MESSAGES:
            return None
        waiter = self._waiters.get(destination)
        if waiter is None:
            waiter = self._waiters[destination] = asyncio.get_running_loop().create_future()
        return asyncio.shield(waiter)

    # How it goes out

    def _send(self, outgoing: Outgoing) -> None:
        backlog = self._backlogs.get(outgoing.destination)
        if backlog is not None:
            backlog.append(outgoing)
            self._backlogged += 1
            return
        slices = self._slices(outgoing)
        if sum(len(receivers) for _, receivers in slices) <= self._slice_receivers:
            for encoding, receivers in slices:
                self._offer(outgoing, encoding, receivers)
        else:
            self._backlogs[outgoing.destination] = deque()
            self._go_on(outgoing, deque(slices))

    def _slices(self, outgoing: Outgoing) -> list[Slice]:
        """The receivers of a message as they are now. Patterns never match a room: its messages are for checked members."""
        if outgoing.destination.startswith(ROOM_PREFIX):
            topic = self._router.topic(outgoing.destination)
            topics: Sequence[Topic[Subscription]] = (topic,) if topic is not None else ()
        else:
            topics = self._router.topics_for(outgoing.destination)
        size = self._slice_receivers
        slices: list[Slice] = []
        for topic in topics:
            for encoding, group in topic.groups.items():
                receivers = list(group)
                if len(receivers) <= size:
                    slices.append((encoding, receivers))
                else:
                    slices += [(encoding, receivers[at : at + size]) for at in range(0, len(receivers), size)]
        return slices

    def _go_on(self, outgoing: Outgoing, slices: deque[Slice]) -> None:
        """Serve as many as fit in one slice, then, in another turn of the loop, the rest and the next message."""
        left = self._slice_receivers
        while slices and left > 0:
            encoding, receivers = slices.popleft()
            left -= len(receivers)
            self._offer(outgoing, encoding, [receiver for receiver in receivers if receiver.is_live])
        if not slices:
            backlog = self._backlogs[outgoing.destination]
            if not backlog:
                del self._backlogs[outgoing.destination]
                return
            outgoing = backlog.popleft()
            self._thin_out()
            if len(backlog) <= _CONGESTED_MESSAGES // 2:  # its end may never come: not all who send here wait
                self._relieve(outgoing.destination)
            slices = deque(self._slices(outgoing))
        asyncio.get_running_loop().call_soon(self._go_on, outgoing, slices)

    def _thin_out(self) -> None:
        self._backlogged -= 1
        if self._relay_waiter is not None and self._backlogged <= _CONGESTED_RELAY_MESSAGES // 2:
            self._relay_waiter.set_result(None)
            self._relay_waiter = None

    def _relieve(self, destination: str) -> None:
        waiter = self._waiters.pop(destination, None)
        if waiter is not None:
            waiter.set_result(None)

    def _offer(self, outgoing: Outgoing, encoding: Hashable, receivers: Sequence[Subscription]) -> None:
        if outgoing.seq is None:
            self._write(outgoing, encoding, receivers)
        elif isinstance(encoding, Encoding):
            self._write(outgoing, encoding, _in_turn(outgoing.seq, receivers))
        else:
            for receiver in receivers:  # one by one: they may owe their ACKs together
                if receiver.is_full:
                    receiver.catch_up()
                else:
                    self._write(outgoing, encoding, _in_turn(outgoing.seq, (receiver,)))

    def _write(self, outgoing: Outgoing, encoding: Hashable, receivers: Sequence[Subscription]) -> None:
        self.deliveries += len(receivers)
        if isinstance(encoding, Encoding):
            frame = outgoing.template(encoding.version).splice(encoding.line)
            data = encoding.framing.wrap(frame, is_text=outgoing.is_text)
            for receiver in receivers:
                receiver.outbox.offer(data)
        else:
            for receiver in receivers:
                template = outgoing.template(receiver.peer.version)
                receiver.outbox.offer(receiver.encode(template, outgoing.id, is_text=outgoing.is_text))

    # What goes out

    def _chat(self, message: ChatMessage) -> Outgoing:
        headers = (_JSON, ("position", message.position))
        body = self._wire.message_body(message)
        return Outgoing(room_destination(message.room), message.id, headers, body, seq=message.seq)

    def _foreign(self, record: ForeignRecord) -> Outgoing:
        return Outgoing(room_destination(record.room), record.id, (_JSON,), self._wire.foreign_body(record))

    def _take_broadcast(self, record: BrokerRecord) -> None:
        if record.origin == self._origin:
            return
        lane = (record.origin, record.partition)
        last = self._last_counters.pop(lane, 0)
        self._last_counters[lane] = max(last, record.counter)
        if len(self._last_counters) > _REMEMBERED_ORIGINS:
            del self._last_counters[next(iter(self._last_counters))]
        if record.counter <= last:
            self.repeats += 1
            return
        shown = users.shown(record.destination)
        self._send(Outgoing(record.destination, record.id, record.headers, record.body, shown=shown))


def _in_turn(seq: int, receivers: Iterable[Subscription]) -> list[Subscription]:
    """Those for whom a room's message is the next one. Who has it already is passed over; who lacks others catches up."""
    in_turn: list[Subscription] = []
    behind: list[Subscription] = []
    for receiver in receivers:
        if receiver.last_seq == seq - 1:
            receiver.last_seq = seq
            in_turn.append(receiver)
        elif receiver.last_seq < seq:
            behind.append(receiver)
    for receiver in behind:
        receiver.catch_up()
    return in_turn


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
