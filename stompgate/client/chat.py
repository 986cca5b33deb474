"""A client of chat rooms that comes back. Over any number of connections each message is stored once and received once.

What that takes is kept by whoever waits: ``send`` has an id, ``Following`` a position. Only the connection has a task.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Final, Self

from .connection import Connection, connect
from .failures import ConnectionLost, Failure, NoAnswer
from .following import Following, bear
from .options import BackOff, Options

_DEFAULTS: Final = Options()
_SEND_S: Final = 60.0


class ChatClient:
    """A user in the chat, from entering it with ``async with`` on. See ``connect`` for the parameters."""

    def __init__(self, url: str, *, user: str = "", login: str = "", passcode: str = "", options: Options = _DEFAULTS) -> None:
        self._url = url
        self._identity = {"user": user, "login": login, "passcode": passcode}
        self._options = options
        self._changed = asyncio.Condition()
        self._connection: Connection | None = None
        self._failure: Failure | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep_connected())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._keeper is not None
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        if not self._keeper.cancelled():
            self._keeper.result()

    async def send(self, room: str, content: str, *, message_id: str = "", within_s: float = _SEND_S) -> str:
        """Send to a room, again on each connection until it is known to be stored, once. Returns its ``client-message-id``.

        Raises ``Refused``, or ``NoAnswer`` after ``within_s``: then it may or may not be stored, and may be sent again with its
        ``message_id``. One that is known beforehand can outlive this program.
        """
        message_id = message_id or uuid.uuid4().hex
        body = json.dumps({"content": content})
        back_off = BackOff(self._options)
        try:
            async with asyncio.timeout(within_s):
                while True:
                    connection = await self._connected()
                    try:
                        await connection.send(f"/pub/room/{room}/message", body, message_id=message_id)
                        return message_id
                    except Failure as failure:
                        await bear(failure, connection, back_off)
        except TimeoutError:
            raise NoAnswer(f"Message {message_id} has no RECEIPT.") from None

    @asynccontextmanager
    async def follow(self, room: str, *, since: str | None = None) -> AsyncIterator[Following]:
        """The messages of a room in order, each once, over all connections; from the position ``since``, or from now on.

        A ``Joined`` comes first, and again after each lost connection: it says whether anything was missed. What goes wrong is
        raised where the events are taken.
        """
        following = Following(room, since, self._connected, self._options)
        async with AsyncExitStack() as leaving:
            leaving.push_async_exit(following.leave)
            yield following

    async def _connected(self) -> Connection:
        """The connection, once there is one. Raises the failure after which none is tried any more."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._failure is not None or (self._connection is not None and self._connection.is_open)
            )
        if self._failure is not None:
            raise self._failure
        assert self._connection is not None
        return self._connection

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        back_off = BackOff(self._options)
        failure: Failure | None = None
        try:
            while failure is None or failure.retry:
                lived_s = 0.0
                try:
                    async with connect(self._url, **self._identity, options=self._options) as connection:
                        began_s = loop.time()
                        await self._tell(connection, None)
                        failure = await connection.lost()
                        lived_s = loop.time() - began_s
                except Failure as found:
                    failure = found
                if failure.retry:
                    await asyncio.sleep(back_off.pause_s(lived_s))
        finally:
            is_final = failure is not None and not failure.retry
            await self._tell(None, failure if is_final else ConnectionLost("left", "The chat was left.", retry=False))

    async def _tell(self, connection: Connection | None, failure: Failure | None) -> None:
        async with self._changed:
            self._connection, self._failure = connection, failure
            self._changed.notify_all()
