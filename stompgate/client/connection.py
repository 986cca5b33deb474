"""One STOMP 1.2 connection. It answers for what is asked of it until it is lost, and never comes back by itself.

Two tasks belong to it, one that reads and one for heart-beats; both end with ``connect``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from typing import Final
from urllib.parse import urlsplit

from stompgate.model.causes import Refusal
from stompgate.stomp.frames import HEARTBEAT, SERVER_COMMANDS, Command, Frame
from stompgate.stomp.heartbeats import Agreement, negotiate, parse
from stompgate.stomp.parser import Limits, Parser
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version

from .failures import ConnectionLost, Failure, NoAnswer, lost_by_error, refused_by
from .messages import Message
from .options import FRAME_LIMIT_BYTES, Options
from .subscription import Subscription
from .ways import Way, opened

ERRORS: Final = "/user/queue/errors"
"""Where the server tells what it refuses without closing the connection."""

_FROM_SERVERS: Final = Limits(frame_bytes=FRAME_LIMIT_BYTES, header_line_bytes=64 * 1024, headers=1000)
_SILENT_INTERVALS: Final = 3
_LOOKS_PER_INTERVAL: Final = 4
_DEFAULTS: Final = Options()


@asynccontextmanager
async def connect(
    url: str, *, user: str = "", login: str = "", passcode: str = "", options: Options = _DEFAULTS
) -> AsyncIterator[Connection]:
    """A connection to ``ws:``, ``wss:``, ``tcp:`` or ``tls:``. Who it is for: a user whom a gateway has checked, or a login.

    Raises ``Refused`` (a wrong password), ``ConnectionLost`` (nobody there) or ``NoAnswer``. At the end everything before is
    answered, unless that end is an exception.
    """
    identity = {"sender": user, "login": login, "passcode": passcode}
    async with opened(url, options) as way:
        connection = Connection(way, options)
        agreement = await connection.begin(
            {"host": urlsplit(url).hostname or "", **{name: text for name, text in identity.items() if text}}
        )
        tasks = [asyncio.create_task(connection.read()), asyncio.create_task(connection.beat(agreement))]
        try:
            await connection.listen_for_errors()
            yield connection
            await connection.disconnect()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()


class Connection:
    """An open connection; made by ``connect``. All that it is asked for may raise ``ConnectionLost`` and ``NoAnswer``."""

    def __init__(self, way: Way, options: Options) -> None:
        self._way = way
        self._options = options
        self._parser = Parser(_FROM_SERVERS, SERVER_COMMANDS)
        self._numbers = count(1)
        self._answers: dict[str, asyncio.Future[Frame]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._lost: asyncio.Future[Failure] = asyncio.get_running_loop().create_future()
        self._wrote_at = self._heard_at = self._now()
        self._is_reading = True

    # What a user asks of it

    async def send(
        self, destination: str, body: str | bytes, *, message_id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Frame:
        """SEND, and wait for the RECEIPT, which is returned: to a room or queue it means that the message is stored.

        ``message_id``: the ``client-message-id``, with which a message to a room may be sent again and is stored once.
        Raises ``Refused``.
        """
        named = {"destination": destination, **(headers or {})}
        if message_id is not None:
            named["client-message-id"] = message_id
        return await self._ask(Frame(Command.SEND, named, body.encode() if isinstance(body, str) else body))

    @asynccontextmanager
    async def subscribe(
        self, destination: str, *, ack: str = "auto", since: str | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Subscription]:
        """A subscription, from its RECEIPT to its UNSUBSCRIBE. ``since``: the last position seen in this room.

        Raises ``Refused``. Left by an exception, as a timeout is, it does not wait until the server has answered, or reads.
        """
        subscription = Subscription(f"s{next(self._numbers)}", self._options.waiting_messages)
        named = {"id": subscription.id, "destination": destination, "ack": ack, **(headers or {})}
        if since is not None:
            named["since"] = since
        self._subscriptions[subscription.id] = subscription
        leave: Callable[[Frame], Awaitable[object]] = partial(self._write, within_s=0.0)
        try:
            receipt = await self._ask(Frame(Command.SUBSCRIBE, named), lambda: subscription.came)
            subscription.begin(receipt.headers)
            yield subscription
            leave = self._ask
        finally:
            subscription.end(None)
            del self._subscriptions[subscription.id]
            with suppress(Failure):  # then the connection ends, and the subscription with it
                await leave(Frame(Command.UNSUBSCRIBE, {"id": subscription.id}))

    async def ack(self, message: Message) -> None:
        """ACK a message of a subscription with ``ack="client"`` or ``"client-individual"``."""
        await self._write(Frame(Command.ACK, {"id": message.headers["ack"]}))

    async def nack(self, message: Message, *, requeue: bool = True) -> None:
        """NACK it: of a queue it goes to the next consumer, or, without ``requeue``, to nobody."""
        named = {"id": message.headers["ack"]}
        await self._write(Frame(Command.NACK, named if requeue else {**named, "requeue": "false"}))

    @property
    def is_open(self) -> bool:
        """Whether it is not known to be lost."""
        return not self._lost.done()

    async def lost(self) -> Failure:
        """Wait until it is lost; return why."""
        return await asyncio.shield(self._lost)

    # Its life, which is ``connect``'s affair

    async def begin(self, identity: Mapping[str, str]) -> Agreement:
        """CONNECT, and read to CONNECTED. Returns the heart-beats that hold on this side."""
        offer = {"accept-version": Version.V1_2.value, "heart-beat": str(self._options.heart_beat), "errors": "soft"}
        await self._write(Frame(Command.CONNECT, {**offer, **identity}))
        try:
            async with asyncio.timeout(self._options.deadline_s):
                while (answer := self._next_frame()) is None:
                    self._parser.receive_bytes(await self._way.receive())
        except TimeoutError:
            raise NoAnswer("The server has not answered CONNECT.") from None
        if answer.command == Command.ERROR:
            raise refused_by(answer.headers, answer.body)
        if answer.command != Command.CONNECTED or answer.headers.get("version") != Version.V1_2.value:
            raise ConnectionLost("no-common-version", "The server does not speak STOMP 1.2.", retry=False)
        try:
            offered = parse(answer.headers.get("heart-beat"))
        except Refusal as refusal:
            raise _no_stomp(refusal) from refusal
        # The arithmetic is the server's: seen from here we are that side.
        return negotiate(client=offered, server=self._options.heart_beat)

    async def listen_for_errors(self) -> None:
        """From here on a refusal that concerns the application ends what it refuses, and not the connection."""
        await self._ask(Frame(Command.SUBSCRIBE, {"id": ERRORS, "destination": ERRORS}))

    async def disconnect(self) -> None:
        """DISCONNECT, if there is still something to leave. Its RECEIPT follows every other answer."""
        with suppress(Failure):
            await self._ask(Frame(Command.DISCONNECT))

    async def read(self) -> None:
        """Read until the connection is lost."""
        failure: Failure = ConnectionLost("closed", "The connection was closed here.")
        try:
            while True:
                while (frame := self._next_frame()) is not None:
                    await self._take(frame)
                data = await self._way.receive()
                self._heard_at = self._now()
                self._parser.receive_bytes(data)
        except Failure as found:
            failure = found
        finally:
            self._end(failure)  # whatever it was: nobody may wait for one who does not read

    async def beat(self, agreement: Agreement) -> None:
        """Send heart-beats, and watch for the server's, as long as anything is agreed."""
        intervals = [every_s for every_s in (agreement.send_every_s, agreement.expect_every_s) if every_s]
        while intervals and self.is_open:
            await asyncio.sleep(min(intervals) / _LOOKS_PER_INTERVAL)
            if agreement.send_every_s and self._now() - self._wrote_at >= agreement.send_every_s / 2:
                with suppress(Failure):  # whoever reads finds it as well
                    await self._write_bytes(HEARTBEAT)
            silence_s = self._now() - self._heard_at
            if self._is_reading and agreement.expect_every_s and silence_s > _SILENT_INTERVALS * agreement.expect_every_s:
                self._end(ConnectionLost("heartbeat-lost", f"The server was silent for {silence_s:.1f} s."))

    # What comes in

    def _next_frame(self) -> Frame | None:
        try:
            return self._parser.next_frame()
        except Refusal as refusal:
            raise _no_stomp(refusal) from refusal

    async def _take(self, frame: Frame) -> None:
        headers = frame.headers
        match frame.command:
            case Command.RECEIPT:
                if (answer := self._answers.pop(headers.get("receipt-id", ""), None)) is not None and not answer.done():
                    answer.set_result(frame)
            case Command.MESSAGE if headers.get("subscription") == ERRORS:
                self._refuse(frame)
            case Command.MESSAGE:
                await self._hand_over(headers.get("subscription", ""), Message.of(frame))
            case Command.ERROR:
                self._refuse(frame)
                raise lost_by_error(headers, frame.body)
            case _:
                pass

    def _refuse(self, frame: Frame) -> None:
        answer = self._answers.pop(frame.headers.get("receipt-id", ""), None)
        if answer is not None and not answer.done():
            answer.set_exception(refused_by(frame.headers, frame.body))

    async def _hand_over(self, subscription_id: str, message: Message) -> None:
        subscription = self._subscriptions.get(subscription_id)
        if subscription is None:
            return  # unsubscribed while it was on its way
        subscription.offer(message)
        if subscription.is_full:
            self._is_reading = False
            await subscription.space()
            self._is_reading = True
            self._heard_at = self._now()

    def _end(self, failure: Failure) -> None:
        """Tell everyone who waits for something that it will not come. What it was lost by first holds."""
        if self._lost.done():
            return
        self._lost.set_result(failure)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(failure)
        for subscription in self._subscriptions.values():
            subscription.end(failure)

    # What goes out

    async def _ask(self, frame: Frame, came: Callable[[], int] = lambda: 0) -> Frame:
        """Send a frame with a receipt; return the RECEIPT. ``came`` counts what comes before it: more puts the deadline off."""
        receipt_id = f"r{next(self._numbers)}"
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_is_seen)
        self._answers[receipt_id] = answer
        try:
            await self._write(Frame(frame.command, {**frame.headers, "receipt": receipt_id}, frame.body))
            last = -1
            while not answer.done() and (now := came()) > last:
                last = now
                await asyncio.wait([answer], timeout=self._options.deadline_s)
        finally:
            self._answers.pop(receipt_id, None)
        if not answer.done():
            raise NoAnswer(f"The server has not answered {frame.command}.")
        return answer.result()

    async def _write(self, frame: Frame, within_s: float | None = None) -> None:
        await self._write_bytes(serialize(frame, Version.V1_2), within_s)

    async def _write_bytes(self, data: bytes, within_s: float | None = None) -> None:
        """Write, and wait until there is room for more: what is written goes out also when that is waited for in vain."""
        if self._lost.done():
            raise self._lost.result()
        try:
            async with asyncio.timeout(self._options.deadline_s if within_s is None else within_s):
                await self._way.send(data)
        except TimeoutError:
            raise NoAnswer("The server does not read.") from None
        self._wrote_at = self._now()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _no_stomp(refusal: Refusal) -> ConnectionLost:
    return ConnectionLost(refusal.cause.code, f"What came is no STOMP: {refusal.explanation}", retry=False)


def _is_seen(answer: asyncio.Future[Frame]) -> None:
    """An answer that nobody waits for any more is no mistake that the event loop should tell of."""
    if not answer.cancelled():
        answer.exception()
