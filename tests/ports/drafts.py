"""Drafts and rooms as the suites write them."""

from __future__ import annotations

from collections.abc import Sequence

from stompgate.model.ids import MessageIds
from stompgate.model.messages import ChatMessage, Draft
from stompgate.ports.store import Outcome, Rejected, Store, Stored

BUYER, SELLER = "buyer@example.org", "seller@example.org"

_IDS = MessageIds()


async def make_room(store: Store, uuid: str, *, product_name: str | None = None) -> str:
    """Make a room of ``BUYER`` and ``SELLER``, told from others by its product."""
    await store.create_room(uuid, buyer=BUYER, seller=SELLER, product_name=product_name or f"product of {uuid}")
    return uuid


def draft(
    room: str,
    content: str = "hello",
    *,
    message_id: str | None = None,
    client_id: str | None = None,
    sender: str = BUYER,
    members_version: int = 1,
    transaction: str = "",
    sent_at_us: int = 1_700_000_000_123_456,
) -> Draft:
    message_id = message_id or _IDS.new(sent_at_us)
    return Draft(message_id, room, sender, content, client_id, sent_at_us, members_version, transaction)


def stored(outcome: Outcome) -> ChatMessage:
    """The message of an outcome that must be new."""
    assert isinstance(outcome, Stored), outcome
    assert not outcome.repeated
    return outcome.message


def repeated(outcome: Outcome) -> ChatMessage:
    """The message of an outcome that must be a repeat."""
    assert isinstance(outcome, Stored), outcome
    assert outcome.repeated
    return outcome.message


def rejected(outcome: Outcome) -> Rejected:
    assert isinstance(outcome, Rejected), outcome
    return outcome


async def say(store: Store, room: str, *contents: str) -> Sequence[ChatMessage]:
    """Append new messages as one group."""
    return [stored(outcome) for outcome in await store.append([draft(room, content) for content in contents])]
