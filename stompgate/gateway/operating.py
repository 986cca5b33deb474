"""What an operator does from outside: look at the connections, send, and follow a room.

What is sent is read as the SEND that it stands for, so that the limits and rules of clients hold. Whether somebody is an
operator is decided at the door, never here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final, TypeVar

import structlog

from stompgate.broker.destinations import room_destination
from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Kind
from stompgate.model.sessions import Identity
from stompgate.ports.store import Outcome, Rejected, Stored
from stompgate.stomp.frames import RESERVED_ON_SEND, Command, Frame, user_headers
from stompgate.stomp.parser import Parser
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version

from .gate import Gate
from .link import Link
from .peer import Peer
from .sending import BroadcastParcel, QueueParcel, Waiting, read_chat
from .tailing import Tail

OPERATOR: Final = Identity("operator")
"""Who publishes. Receivers are not told; a room's messages are never an operator's own, but a member's."""

AnswerT = TypeVar("AnswerT")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection as it is now. ``user`` and ``session_id`` are None where it has not said who it is."""

    user: str | None
    session_id: str | None
    transport: str
    version: str
    address: str
    connected_at_us: int
    connected_s: float
    subscriptions: int
    frames_in: int
    delivered: int
    waiting_bytes: int
    in_flight: int


class Operating:
    """An operator's hands in a gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    @property
    def connected(self) -> int:
        """How many connections there are now."""
        return self._gate.connected

    def connections(self, *, user: str | None, limit: int) -> tuple[Sequence[Connection], int]:
        """Up to ``limit`` connections, the oldest first, of ``user`` if one is named; and how many there are of these."""
        peers = [peer for peer in self._gate.peers if user is None or peer.identity.user == user]
        return [self._shown(peer) for peer in nsmallest(limit, peers, key=lambda peer: peer.opened_s)], len(peers)

    def subscribers(self, room: str) -> int:
        """How many subscriptions to a room are up to date on this server."""
        topic = self._gate.router.topic(room_destination(room))
        return len(topic) if topic is not None else 0

    async def send(self, room: str, sender: str, body: bytes, client_id: str | None) -> Stored:
        """Store a message of a member's. Raises ``Refusal`` for what a SEND would be refused for, and if it is not stored."""
        headers = {"destination": f"/pub/room/{room}/message"}
        if client_id is not None:
            headers["client-message-id"] = client_id
        frame = self._as_sent(headers, body)
        parcel = read_chat(self._gate, Identity(sender), frame, self._gate.destination(headers["destination"]))
        try:
            await _admitted(parcel.admission(self._gate))
        except Refusal as refusal:
            if refusal.cause is not Cause.NO_SUCH_ROOM:
                raise
            raise Refusal(refusal.cause, "There is no such room, or the sender is no member of it.") from refusal
        answer: asyncio.Future[Outcome] = self._gate.loop.create_future()
        self._gate.intake.submit(parcel.draft(self._gate), lambda outcome: _settle(answer, outcome))
        outcome = await answer
        if isinstance(outcome, Rejected):
            raise Refusal(outcome.cause, detail=outcome.detail)
        stored = outcome.message
        _log.info("operator sent", room=room, user=sender, message=stored.id, seq=stored.seq, repeated=outcome.repeated)
        return outcome

    async def publish(self, name: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send to a destination that is no room. Returns when it is accepted; for a queue, stored. Raises ``Refusal``."""
        taken = sorted(RESERVED_ON_SEND & headers.keys())
        if taken:
            raise Refusal(Cause.BAD_HEADER, f"These headers are the server's to set: {', '.join(taken)}.")
        frame = self._as_sent({"destination": name, **headers}, body)
        destination = self._gate.destination(name)
        if destination.kind in (Kind.INTAKE, Kind.ROOM):
            raise Refusal(Cause.FORBIDDEN_DESTINATION, "A room's messages are sent by its members: name one as the sender.")
        if destination.kind is Kind.OWN:
            raise Refusal(
                Cause.FORBIDDEN_DESTINATION, "Expected /user/{name}/queue/…: an operator has no destination of its own."
            )
        if destination.kind is Kind.QUEUE:
            await self._put(QueueParcel(destination, OPERATOR, user_headers(frame.headers), frame.body))
        else:
            parcel = BroadcastParcel(destination, OPERATOR, user_headers(frame.headers), frame.body)
            await _admitted(parcel.admission(self._gate))
            parcel.broadcast(self._gate)
        _log.info("operator published", destination=destination.name, size_bytes=len(body))

    def follow(self, room: str, link: Link) -> Tail:
        """Begin to follow a room, whoever its members are."""
        _log.info("operator follows", room=room)
        return Tail(self._gate, room, link)

    async def _put(self, parcel: QueueParcel) -> None:
        await _admitted(parcel.admission(self._gate))
        answer: asyncio.Future[Refusal | None] = self._gate.loop.create_future()
        self._gate.queues.send((parcel.message(self._gate),), lambda refusal: _settle(answer, refusal))
        refusal = await answer
        if refusal is not None:
            raise refusal

    def _as_sent(self, headers: Mapping[str, str], body: bytes) -> Frame:
        """The SEND, read as a client's is: within the same limits."""
        parser = Parser(self._gate.settings.frame_limits)
        parser.receive_bytes(serialize(Frame(Command.SEND, headers, body), Version.V1_2))
        frame = parser.next_frame()
        assert frame is not None
        if not headers.keys() <= frame.headers.keys():
            raise Refusal(Cause.BAD_HEADER, "A header's name is not empty, and has no NUL.")
        return frame

    def _shown(self, peer: Peer) -> Connection:
        clock = self._gate.clock
        age_s = round(clock.monotonic() - peer.opened_s, 1)
        return Connection(
            user=peer.identity.user,
            session_id=peer.session.id if peer.session is not None else None,
            transport=peer.link.transport,
            version=peer.version.value,
            address=peer.link.describe(),
            connected_at_us=clock.utc_us() - round(age_s * 1_000_000),
            connected_s=age_s,
            subscriptions=len(peer.subscriptions),
            frames_in=peer.frames_in,
            delivered=peer.delivered,
            waiting_bytes=peer.link.outbox.waiting_bytes,
            in_flight=peer.in_flight,
        )


async def _admitted(waiting: Waiting) -> None:
    if waiting is not None:
        await waiting


def _settle(answer: asyncio.Future[AnswerT], value: AnswerT) -> None:
    if not answer.done():  # whoever asked may have left
        answer.set_result(value)
