"""One connection to Redis on which questions and answers stay together. It must never hand an answer to another question.

An exchange that did not run to its end (an error, its deadline, a cancellation) takes its connection with it: what may still
come on that one is nobody's. Redis's own errors and the driver's become ``PartDown``. On a connection that turns out to be
closed nothing is lost but time: what is carried here may be asked twice, so it is asked again on a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, RedisError

from stompgate.ports.part import PartDown

Command = Sequence[bytes | str | int | float]
Connect = Callable[[], AbstractConnection]


class RedisLine:
    """Carries one exchange after the other. ``make`` makes a connection, not connected yet.

    ``deadline_s``: seconds that an exchange may take, connecting and waiting for those before it included.
    """

    def __init__(self, make: Connect, deadline_s: float) -> None:
        self._make = make
        self._deadline_s = deadline_s
        self._turn = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self.exchanges = 0
        """Exchanges that ran to their end."""

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one go and return their answers in order. Raises ``PartDown`` if any of it fails."""
        try:
            async with asyncio.timeout(self._deadline_s), self._turn:
                answers = await self._exchange(commands)
        except TimeoutError as error:
            raise PartDown(f"Redis did not answer within {self._deadline_s:g} s") from error
        except (RedisError, OSError) as error:
            raise PartDown(f"Redis: {error}") from error
        self.exchanges += 1
        return answers

    async def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        kept, self._connection = self._connection, None
        if kept is not None:
            try:
                return await self._exchange_on(kept, commands)
            except (ConnectionError, OSError):
                pass  # it was closed since it was used last, by whoever: that says nothing about Redis now
        fresh = self._make()
        # A server that accepts and does not serve is found out before it is sent what may be much.
        await self._exchange_on(fresh, [("PING",)])
        return await self._exchange_on(fresh, commands)

    async def _exchange_on(self, connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
        is_whole = False
        try:
            answers = await self._ask(connection, commands)
            is_whole = True
        finally:
            if is_whole:
                self._connection = connection
            else:
                await connection.disconnect(nowait=True)  # which does not wait for anything, so cannot be cancelled again
        return answers

    async def _ask(self, connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        except RuntimeError as error:  # uvloop's word for a socket that was reset and that nobody has read from since
            raise ConnectionError(str(error)) from error
        return [await connection.read_response() for _ in commands]
