"""Inquiries to the support desk: checked, stored, and mailed from the store by one small task.

An inquiry is never lost for a mail server that is away, and nothing a user typed can reach the head of a mail as a new line.
"""

from __future__ import annotations

import asyncio
import unicodedata

import structlog

from stompgate.model.causes import Cause, Refusal
from stompgate.model.inquiries import Inquiry
from stompgate.ports.clock import Clock
from stompgate.ports.mail import Mail
from stompgate.ports.part import PartDown
from stompgate.ports.store import OutcomeUnknown, Store, StoreUnavailable

NAME_LIMIT_CHARS = 100
EMAIL_LIMIT_CHARS = 254
PHONE_LIMIT_CHARS = 40
MESSAGE_LIMIT_CHARS = 10_000

RETRY_FROM_S = 2.0
RETRY_TO_S = 300.0
MAILED_AT_A_TIME = 20

_log = structlog.get_logger(__name__)


class Inquiries:
    """Takes inquiries in and mails them, oldest first, one after the other."""

    def __init__(self, store: Store, mail: Mail, clock: Clock) -> None:
        self._store = store
        self._mail = mail
        self._clock = clock
        self._news = asyncio.Event()
        self._mailer: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to mail: first what an earlier run of the program has left."""
        self._news.set()
        self._mailer = asyncio.get_running_loop().create_task(self._mail_for_ever(), name="inquiry-mailer")

    async def close(self) -> None:
        """Stop mailing. What is not mailed yet stays in the store."""
        mailer, self._mailer = self._mailer, None
        if mailer is not None:
            mailer.cancel()
            await asyncio.wait([mailer])

    async def take(self, *, name: str, email: str, phone: str, message: str) -> None:
        """Store an inquiry; return once it is durable. Raises ``Refusal`` (BAD_REQUEST), and what the store raises."""
        inquiry = Inquiry(
            0,
            _line(name, "name", NAME_LIMIT_CHARS),
            _line(email, "email", EMAIL_LIMIT_CHARS),
            _line(phone, "phone", PHONE_LIMIT_CHARS),
            _text(message),
        )
        await self._store.add_inquiry(inquiry)
        self._news.set()

    async def _mail_for_ever(self) -> None:
        delay_s = RETRY_FROM_S
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._mail_what_waits()
            except (PartDown, StoreUnavailable, OutcomeUnknown) as error:
                _log.warning("inquiries wait for the mail", reason=str(error), retry_s=delay_s)
                await self._pause(delay_s)
                delay_s = min(delay_s * 2, RETRY_TO_S)
                self._news.set()
            else:
                delay_s = RETRY_FROM_S

    async def _mail_what_waits(self) -> None:
        while waiting := await self._store.unmailed(MAILED_AT_A_TIME):
            for inquiry in waiting:
                await self._mail.send_inquiry(inquiry)
                await self._store.mark_mailed(inquiry.id)

    async def _pause(self, delay_s: float) -> None:
        over = asyncio.Event()
        timer = self._clock.call_later(delay_s, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()


def _line(value: str, field: str, limit_chars: int) -> str:
    """Return one line that is safe in the head of a mail. Raises ``Refusal``."""
    line = value.strip()
    if len(line) > limit_chars:
        raise Refusal(Cause.BAD_REQUEST, f'"{field}" may have {limit_chars} characters.')
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in line):
        raise Refusal(Cause.BAD_REQUEST, f'"{field}" must be one line without control characters.')
    return line


def _text(value: str) -> str:
    """Return the message's text with line ends as LF. Raises ``Refusal``."""
    text = value.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text or len(text) > MESSAGE_LIMIT_CHARS:
        raise Refusal(Cause.BAD_REQUEST, f'"message" must have 1 to {MESSAGE_LIMIT_CHARS} characters.')
    if any(unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t" for character in text):
        raise Refusal(Cause.BAD_REQUEST, '"message" must not contain control characters.')
    return text
