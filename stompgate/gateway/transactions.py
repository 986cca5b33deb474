"""BEGIN, COMMIT, ABORT: what is sent and acknowledged between them takes effect together at COMMIT, or not at all.

What can be found wrong is found before anything has had an effect: each frame when it comes, rights and acknowledgements at
COMMIT. The messages for rooms are one batch of the store, which rejects all of them or none; when they are there, the rest
follows, which cannot fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stompgate.model.causes import Cause, Refusal
from stompgate.ports.store import Outcome, Rejected
from stompgate.stomp.frames import Frame

from .acknowledging import Settlement
from .sending import BroadcastParcel, ChatParcel, Waiting

if TYPE_CHECKING:
    from .peer import Peer

Held = ChatParcel | BroadcastParcel | Settlement


def begin(peer: Peer, frame: Frame) -> Waiting:
    """Open a transaction."""
    peer.transactions.begin(frame.headers["transaction"])
    peer.receipt(frame.headers.get("receipt"))
    return None


def abort(peer: Peer, frame: Frame) -> Waiting:
    """Forget a transaction. What was delivered and acknowledged in it waits for an ACK as before."""
    peer.transactions.end(frame.headers["transaction"])
    peer.receipt(frame.headers.get("receipt"))
    return None


def commit(peer: Peer, frame: Frame) -> Waiting:
    """Let a transaction take effect. Frames behind it wait; its RECEIPT means that its messages are stored."""
    transaction = peer.transactions.end(frame.headers["transaction"])
    if transaction.has_failed:
        raise Refusal(Cause.TRANSACTION_FAILED)
    return _commit(peer, transaction.kept, frame.headers.get("receipt"))


async def _commit(peer: Peer, held: Sequence[Held], receipt_id: str | None) -> None:
    for thing in held:
        if isinstance(thing, Settlement):
            thing.check()
        elif (waiting := thing.admission(peer)) is not None:
            await waiting
    chats = [thing for thing in held if isinstance(thing, ChatParcel)]
    if chats:
        await _store(peer, chats)
    for thing in held:
        match thing:
            case Settlement():
                thing.go(peer)
            case BroadcastParcel():
                thing.go(peer, None)
    peer.receipt(receipt_id)


async def _store(peer: Peer, chats: Sequence[ChatParcel]) -> None:
    """Raises ``Refusal`` if the batch is not stored."""
    name = peer.gate.ids.new(peer.gate.clock.utc_us())
    answer: asyncio.Future[Sequence[Outcome]] = peer.gate.loop.create_future()
    peer.in_flight += 1
    try:
        peer.gate.intake.submit_together([chat.draft(peer, name) for chat in chats], partial(_settle, answer))
        outcomes = await answer
    finally:
        peer.answered()
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            raise Refusal(outcome.cause, detail=outcome.detail)


def _settle(answer: asyncio.Future[Sequence[Outcome]], outcomes: Sequence[Outcome]) -> None:
    if not answer.done():
        answer.set_result(outcomes)
