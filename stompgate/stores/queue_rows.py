"""Messages of queues as rows, the same in every database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from stompgate.model.queues import Claim, QueueMessage

COLUMNS = "id, headers, body, sent_at_us, deliveries"
"""What ``claims_of`` reads, after the number of each row."""


def distinct(messages: Sequence[QueueMessage]) -> Sequence[QueueMessage]:
    """The messages, each id of a queue once, in their order."""
    return list({(message.queue, message.id): message for message in messages}.values())


def headers_text(message: QueueMessage) -> str:
    """The headers as JSON, ASCII alone: also what is no Unicode can be kept so."""
    return json.dumps(message.headers, separators=(",", ":"))


def claims_of(queue: str, rows: Iterable[tuple[Any, ...]], *, more: int) -> list[Claim]:
    """Claims from rows of a number and ``COLUMNS``. ``more``: deliveries that the rows do not count yet."""
    return [
        Claim(
            QueueMessage(message_id, queue, tuple((key, value) for key, value in json.loads(headers)), bytes(body), sent_at_us),
            deliveries + more,
        )
        for _, message_id, headers, body, sent_at_us, deliveries in rows
    ]
