"""Soft errors: a refusal that concerns the application is told by a MESSAGE, where the client asked for that, and no ERROR."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from stompgate.broker import users
from stompgate.model.causes import Refusal

if TYPE_CHECKING:
    from .peer import Peer


def complain(peer: Peer, refusal: Refusal, receipt_id: str | None) -> bool:
    """Tell a peer of a refusal where it listens for them. False: the refusal is for an ERROR."""
    if not (peer.wants_soft_errors and refusal.cause.is_soft):
        return False
    listening = peer.subscriptions.named(users.ERRORS)
    headers = [
        ("content-type", "application/json"),
        ("message", refusal.cause.text),
        ("code", refusal.cause.code),
        ("retry", "true" if refusal.cause.retry else "false"),
    ]
    if receipt_id is not None:
        headers.append(("receipt-id", receipt_id))
    for subscription in listening:
        peer.gate.delivery.tell(subscription, peer.gate.new_id(), headers, orjson.dumps(refusal.problem()))
    return bool(listening)
