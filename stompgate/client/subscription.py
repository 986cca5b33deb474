"""A subscription: what has come for it and was not taken yet, as an asynchronous iterator.

It ends with the failure of its connection, after everything that came before that was taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from .failures import Failure
from .messages import Message


class Subscription:
    """One subscription of a connection. Several tasks may take from it; each message goes to one of them.

    ``recovered`` is what the RECEIPT said of ``since``, None where it said nothing; ``position`` is where the room stood
    then. ``came`` counts the messages.
    """

    def __init__(self, subscription_id: str, waiting_messages: int) -> None:
        self.id = subscription_id
        self.recovered: bool | None = None
        self.position: str | None = None
        self.came = 0
        self._waiting: deque[Message] = deque()
        self._waiting_messages = waiting_messages
        self._news = asyncio.Event()
        self._was_taken = asyncio.Event()
        self._has_begun = False
        self._is_over = False
        self._failure: Failure | None = None

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message:
        """The next message. Waits as long as the connection lives, whose heart-beats are the deadline."""
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self._is_over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        self._was_taken.set()
        return self._waiting.popleft()

    # What its connection does

    def begin(self, receipt: Mapping[str, str]) -> None:
        """The RECEIPT has come. What is replayed before it the server bounds; from here on the bound is ours."""
        self._has_begun = True
        recovered = receipt.get("recovered")
        self.recovered = recovered == "true" if recovered is not None else None
        self.position = receipt.get("position")

    def offer(self, message: Message) -> None:
        """Take in a message."""
        self.came += 1
        self._waiting.append(message)
        self._news.set()

    def end(self, failure: Failure | None) -> None:
        """Nothing comes any more; None: it was unsubscribed. What it ended with first holds."""
        if self._is_over:
            return
        self._is_over = True
        self._failure = failure
        self._news.set()
        self._was_taken.set()

    @property
    def is_full(self) -> bool:
        """Whether something must be taken before more is read."""
        return self._has_begun and not self._is_over and len(self._waiting) >= self._waiting_messages

    async def space(self) -> None:
        """Wait until it is not full."""
        while self.is_full:
            self._was_taken.clear()
            await self._was_taken.wait()
