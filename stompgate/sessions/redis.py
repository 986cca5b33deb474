"""Presence in Redis: a whole group's, in the keys that other programs read. Chat never waits for it.

A writer tells Redis once a second, in one pipeline, what has changed since, and refreshes those who were told longest ago.
It acts under a lease of its own; a server without one is dead, and the others take away what it told. What Redis has forgotten
(emptied, restarted) or has not heard of (away) is told from the living sessions. Nothing is written before ``start``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from stompgate.chat.session_wire import SessionTexts
from stompgate.model.ids import new_epoch
from stompgate.model.sessions import Session
from stompgate.ports.clock import Clock, pause
from stompgate.ports.part import Figure, PartDown

from .redis_account import Account
from .redis_line import Command, Connect, RedisLine
from .redis_scripts import Scripts

CLOSE_DEADLINE_S = 5.0
_KEYS_PER_COMMAND = 500

_log = structlog.get_logger()


class Superseded(PartDown):
    """A later life of this server has the lease in Redis."""


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """Times in seconds; ``slice_sessions``: told, or taken away, in one script."""

    deadline_s: float = 1.5
    tell_every_s: float = 1.0
    lease_s: float = 15.0
    refresh_every_s: float = 300.0
    reconnect_limit_s: float = 4.0
    slice_sessions: int = 500


class RedisSessions:
    """``ports.sessions.Sessions`` for the server ``server_id``. ``prefix`` stands before every key."""

    def __init__(
        self,
        connect: Connect,
        *,
        server_id: str,
        clock: Clock,
        texts: SessionTexts,
        prefix: str = "",
        limits: RedisLimits,
    ) -> None:
        self._server_id = server_id
        self._clock = clock
        self._texts = texts
        self._prefix = prefix
        self._limits = limits
        self._account = Account()
        self._write_line = RedisLine(connect, limits.deadline_s)
        self._read_line = RedisLine(connect, limits.deadline_s)
        self._life = ""
        self._turns = 0
        self._answered = ""  # the last turn that Redis has answered
        self._writing: asyncio.Task[None] | None = None
        self._is_claimed = False
        self._dead: list[str] = []
        self._down = ""
        self._failed = 0
        self._failures = 0
        self._swept = 0

    # Its life

    async def open(self) -> None:
        """Redis need not be there yet."""

    def start(self) -> None:
        self._life = f"{self._clock.utc_us():020}-{new_epoch()}"
        self._writing = asyncio.create_task(self._write(), name="sessions are told")

    async def close(self) -> None:
        """Take away what this server told. If Redis is away, the others do it when the lease is over."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
            try:
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await self._leave()
            except (PartDown, TimeoutError) as error:
                _log.info("presence was not cleared; it expires by itself", reason=str(error))
        await self._write_line.close()
        await self._read_line.close()

    async def ping(self) -> None:
        if self._writing is not None and self._writing.done():
            raise PartDown("presence is told no more: its writer has ended")
        if self._down:
            raise PartDown(self._down)
        await self._read_line.exchange([("PING",)])

    # What happens here

    def opened(self, session: Session) -> None:
        self._account.opened(session)

    def closed(self, session_id: str) -> None:
        self._account.closed(session_id)

    def local_users(self) -> Sequence[str]:
        return self._account.living.users()

    # What is asked

    async def sessions_of(self, users: Sequence[str]) -> Mapping[str, Session]:
        names = list(dict.fromkeys(users))
        if not names:
            return {}
        keys = [f"{self._prefix}user:session:{user}" for user in names]
        slices = range(0, len(keys), _KEYS_PER_COMMAND)
        answers = await self._read_line.exchange([("MGET", *keys[at : at + _KEYS_PER_COMMAND]) for at in slices])
        found = zip(names, (text for answer in answers for text in answer), strict=True)
        sessions = {user: self._texts.read(text) for user, text in found if text is not None}
        return {user: session for user, session in sessions.items() if session is not None}

    async def users_by_server(self) -> Mapping[str, Sequence[str]]:
        try:
            async with asyncio.timeout(self._limits.deadline_s):
                (names,) = await self._read_line.exchange([("HKEYS", f"{self._prefix}stompgate:servers")])
                servers = sorted(_text(name) for name in names)
                asked: list[Command] = [("SMEMBERS", f"{self._prefix}server:users:{server}") for server in servers]
                answers = await self._read_line.exchange(asked) if asked else []
        except TimeoutError as error:
            raise PartDown(f"Redis did not answer within {self._limits.deadline_s:g} s") from error
        return {server: [_text(user) for user in users] for server, users in zip(servers, answers, strict=True) if users}

    def figures(self) -> Sequence[Figure]:
        return [
            Figure("stompgate_sessions_living", "Sessions of this server that live.", len(self._account.living)),
            Figure("stompgate_sessions_due", "Users of whom presence is to be told.", self._account.due),
            Figure("stompgate_sessions_up", "Whether presence was told at the last try.", float(self._is_told)),
            Figure("stompgate_sessions_told_total", "Pipelines in which presence was told.", self._write_line.exchanges),
            Figure("stompgate_sessions_failures_total", "Pipelines that failed.", self._failures),
            Figure("stompgate_sessions_swept_total", "Dead servers whose sessions were taken away here.", self._swept),
        ]

    @property
    def _is_told(self) -> bool:
        return self._is_claimed and not self._down

    # The writer

    async def _write(self) -> None:
        while True:
            try:
                goes_on = await self._step()
            except PartDown as error:
                self._note_failure(error)
                await pause(self._clock, self._pause_s())
            else:
                self._note_success()
                if not goes_on:
                    await pause(self._clock, self._limits.tell_every_s)
                    self._refresh()

    def _refresh(self) -> None:
        limits = self._limits
        self._account.refresh(self._clock.monotonic(), step_s=limits.tell_every_s, every_s=limits.refresh_every_s)

    def _scripts(self, turn: str) -> Scripts:
        return Scripts(self._prefix, self._server_id, turn, self._texts)

    def _next_turn(self) -> Scripts:
        """Each pipeline is a turn: one that comes late, when another has begun, must change nothing any more."""
        self._turns += 1
        return self._scripts(f"{self._life}.{self._turns:012}")

    async def _step(self) -> bool:
        """One pipeline. Return whether there is more to be told at once. Raises ``PartDown``."""
        if not self._is_claimed:
            return await self._claim()
        limits, now_s, scripts = self._limits, self._clock.monotonic(), self._next_turn()
        batch = self._account.take(limits.slice_sessions, now_s)
        commands = [scripts.renew(limits.lease_s, answered=self._answered)]
        if batch:
            commands.append(scripts.tell(batch))
        swept = self._dead.pop() if self._dead else ""
        if swept:
            commands.append(scripts.clear(swept, limits.slice_sessions))
        try:
            (lease, *dead), *answers = await self._write_line.exchange(commands)
        except BaseException:
            self._account.put_back(list(batch))
            raise
        if lease != b"held":
            self._is_claimed = False  # all is told again after the next claim
            return True
        self._answered = scripts.turn
        self._account.done(list(batch))
        is_swept = bool(swept) and answers[-1] == 0
        self._dead = [name for name in map(_text, dead) if not (is_swept and name == swept)]
        if is_swept:
            self._swept += 1
            _log.info("sessions of a dead server were taken away", server=swept)
        return bool(self._dead or (batch and self._account.due))

    async def _claim(self) -> bool:
        """Take the lease, and take away what an earlier life has told; only then is anything told.

        Only an answer ends this, so that one that was lost does no harm.
        """
        limits, scripts = self._limits, self._next_turn()
        commands = [scripts.renew(limits.lease_s, answered=""), scripts.clear(self._server_id, limits.slice_sessions)]
        (lease, *_), rest = await self._write_line.exchange(commands)
        if lease == b"taken":
            raise Superseded(f"a later process acts as server {self._server_id}")
        if rest == 0:
            self._is_claimed, self._answered = True, scripts.turn
            self._account.begin_anew()
        return True

    async def _leave(self) -> None:
        self._is_claimed = False
        while not self._is_claimed:
            await self._claim()
        await self._write_line.exchange([self._scripts(self._answered).leave()])

    def _note_failure(self, error: PartDown) -> None:
        self._failed += 1
        self._failures += 1
        if not self._down:
            _log.warning("presence is away", reason=str(error))
        self._down = str(error)

    def _note_success(self) -> None:
        if self._down:
            _log.info("presence is back")
        self._down, self._failed = "", 0

    def _pause_s(self) -> float:
        """Longer after each failure; never alike on two servers."""
        doubled_s = self._limits.tell_every_s * 2.0 ** min(self._failed - 1, 10)
        return min(doubled_s, self._limits.reconnect_limit_s) * random.uniform(0.5, 1.0)


def _text(answer: Any) -> str:
    return str(answer, "utf-8", "replace")
