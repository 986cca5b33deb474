"""A request that takes what a SockJS session says, for as long as it waits and sends.

It never waits for two things at once: whoever has something for it, or knows that its client is gone, wakes it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stompgate.sockjs.framing import HEARTBEAT

if TYPE_CHECKING:
    from .sockjs_session import SockJsLink


class Receiving:
    """One request while it takes what a session says."""

    __slots__ = ("_is_silent", "_link", "_turn", "is_gone", "is_ready")

    def __init__(self, link: SockJsLink) -> None:
        self._link = link
        self._turn: asyncio.Future[None] | None = None
        self._is_silent = False
        self.is_ready = False
        """It will take all there is: it waits, or has just been told to go on. Not while the client takes nothing."""
        self.is_gone = False

    async def next_frame(self) -> bytes | None:
        """Wait for the next frame. None if the client is gone."""
        while not self.is_gone:
            if self._link.is_waited_for:  # first, or who polls while much is said would never be given what they have
                self.is_ready = True
                self._link.ready()
                await asyncio.sleep(0)
                if self.is_gone:
                    return None
            frame = self._link.next_frame()
            if frame is None and self._is_silent:
                frame = HEARTBEAT
            if frame is not None:
                self._is_silent = self.is_ready = False
                return frame
            self.is_ready = True
            self._link.ready()
            self._turn = asyncio.get_running_loop().create_future()
            try:
                await self._turn
            finally:
                self._turn = None
        return None

    def wake(self) -> None:
        """There is something to take."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def beat(self) -> None:
        """Nothing was said for long."""
        self._is_silent = True
        self.wake()

    def vanished(self) -> None:
        """The client closed the connection, or it broke."""
        if not self.is_gone:
            self.is_gone = True
            self._link.interrupt()
            self.wake()

    def done(self) -> None:
        """The response is complete."""
        if not self.is_gone:
            self.is_gone = True
            self._link.leave()
