"""A room as it is followed over any number of connections. What it keeps for that is a position."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType

from .connection import Connection
from .failures import Failure
from .messages import Joined, Message
from .options import BackOff, Options
from .subscription import Subscription


class Following:
    """The events of a room, as an asynchronous iterator. A wait for the next one may be cancelled, and loses nothing by that.

    ``connected`` waits for a connection, and raises the failure after which there will be none.
    """

    def __init__(self, room: str, since: str | None, connected: Callable[[], Awaitable[Connection]], options: Options) -> None:
        self._destination = f"/sub/chat/room/{room}"
        self._position = since
        self._connected = connected
        self._options = options
        self._back_off = BackOff(options)
        self._connection: Connection | None = None
        self._subscription: Subscription | None = None
        self._subscribed = AsyncExitStack()

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> Message | Joined:
        """The next event. Raises what coming back can't help."""
        while True:
            try:
                if self._subscription is None:
                    return await self._join()
                # Whatever has come is given first, then it raises what the connection was lost by.
                message = await anext(self._subscription)
                self._position = message.position
                return message
            except Failure as failure:
                await self.leave()
                await bear(failure, self._connection, self._back_off)

    async def _join(self) -> Joined:
        self._connection = await self._connected()
        subscribing = self._connection.subscribe(self._destination, since=self._position)
        self._subscription = await self._subscribed.enter_async_context(subscribing)
        if not self._subscription.recovered:  # else what has come before that is still to be taken
            self._position = self._subscription.position
        self._back_off = BackOff(self._options)
        return Joined(self._position, self._subscription.recovered)

    async def leave(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """End the subscription, if there is one; by an exception without waiting for the answer."""
        self._subscription = None
        await self._subscribed.__aexit__(kind, error, traceback)


async def bear(failure: Failure, connection: Connection | None, back_off: BackOff) -> None:
    """Raise what trying again can't help. Else wait, where the connection lives: without one, that is waited for."""
    if not failure.retry:
        raise failure
    if connection is not None and connection.is_open:
        await asyncio.sleep(back_off.pause_s())
