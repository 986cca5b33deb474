"""BEGIN, COMMIT, ABORT: what is sent and acknowledged between them takes effect together at COMMIT, or not at all.

What can be found wrong is found before anything has had an effect: each frame when it comes, rights and acknowledgements at
COMMIT. The messages for rooms are one batch of the store, which rejects all of them or none; when they are there, those for
queues follow as another, and then the rest, which cannot fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from stompgate.model.causes import Cause, Refusal
from stompgate.ports.store import Outcome
from stompgate.stomp.frames import Frame

from .acknowledging import Settlement, rehearse
from .sending import BroadcastParcel, ChatParcel, QueueParcel, Waiting, admission, objection

if TYPE_CHECKING:
    from .peer import Peer

Held = ChatParcel | BroadcastParcel | QueueParcel | Settlement


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
    going = rehearse(thing for thing in held if isinstance(thing, Settlement))
    consumers = {subscription.consuming: ids for subscription, ids in going.items() if subscription.consuming is not None}
    for consuming, ids in consumers.items():
        consuming.commit_begins(ids)
    try:
        await _take_effect(peer, held)
    finally:
        for consuming in consumers:
            consuming.commit_ends()
    peer.receipt(receipt_id)


async def _take_effect(peer: Peer, held: Sequence[Held]) -> None:
    for thing in held:
        if not isinstance(thing, Settlement) and (waiting := admission(peer, thing)) is not None:
            await waiting
    chats = [thing for thing in held if isinstance(thing, ChatParcel)]
    if chats:
        await _answer(peer, partial(_store, peer, chats))
    queued = [thing.message(peer.gate) for thing in held if isinstance(thing, QueueParcel)]
    if queued:
        await _answer(peer, partial(peer.gate.queues.send, queued))
    for thing in held:
        match thing:
            case Settlement():
                thing.go(peer)
            case BroadcastParcel():
                thing.go(peer, None)


def _store(peer: Peer, chats: Sequence[ChatParcel], done: Callable[[Refusal | None], None]) -> None:
    """Hand the messages for rooms to the store as one batch, of which it takes all or none."""
    name = peer.gate.new_id()
    drafts = [chat.draft(peer.gate, name) for chat in chats]

    def stored(outcomes: Sequence[Outcome]) -> None:
        objections = (objection(peer, draft, outcome) for draft, outcome in zip(drafts, outcomes, strict=True))
        done(next((refusal for refusal in objections if refusal is not None), None))

    peer.gate.intake.submit_together(drafts, stored)


async def _answer(peer: Peer, ask: Callable[[Callable[[Refusal | None], None]], None]) -> None:
    """Wait for an answer that the peer's end waits for as well. Raises the ``Refusal`` if it is one."""
    answer: asyncio.Future[Refusal | None] = peer.gate.loop.create_future()
    peer.in_flight += 1
    try:
        ask(lambda refusal: None if answer.done() else answer.set_result(refusal))
        refusal = await answer
    finally:
        peer.answered()
    if refusal is not None:
        raise refusal
