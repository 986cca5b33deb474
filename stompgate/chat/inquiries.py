"""Inquiries to the support desk: checked, stored, and mailed from the store by one small task.

An inquiry is never lost for a mail server that is away, and nothing a user typed can reach the head of a mail as a new line.
What becomes of failures is kept in the store, so that neither a restart nor another server begins anew.
"""

from __future__ import annotations

import asyncio
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from stompgate.model.causes import Cause, Refusal
from stompgate.model.inquiries import Inquiry
from stompgate.ports.clock import Clock
from stompgate.ports.mail import ATTEMPT_LIMIT_S, Mail, MailRefused
from stompgate.ports.part import Figure, PartDown
from stompgate.ports.store import OutcomeUnknown, Store, StoreUnavailable
from stompgate.timing.bucket import Buckets

NAME_LIMIT_CHARS = 100
EMAIL_LIMIT_CHARS = 254
PHONE_LIMIT_CHARS = 40
MESSAGE_LIMIT_CHARS = 10_000

_DAY_US: Final = 86_400_000_000
_ADDRESSES_REMEMBERED: Final = 10_000
_EVERYONE: Final = ""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InquiryLimits:
    """How many are taken, and how they are mailed.

    ``per_address_per_min`` and ``per_min``: inquiries of one address and of all, at once and then per minute; 0 is no limit.
    ``retry_least_s`` to ``retry_most_s``: between two tries, doubling. ``look_every_s``: between looks for what others left.
    ``give_up_days``: after so many days of failures an inquiry is given up; ``refused_give_up_days``: if the mail server says
    that it will never take it. ``finish_s``: a mail under way may take so long when the server stops.
    """

    per_address_per_min: int = 5
    per_min: int = 60
    retry_least_s: float = 2.0
    retry_most_s: float = 300.0
    look_every_s: float = 15.0
    give_up_days: float = 7.0
    refused_give_up_days: float = 3.0
    finish_s: float = 8.0


class TooManyInquiries(Refusal):
    """More inquiries than are taken. ``retry_after_s``: whole seconds until the next one may be."""

    def __init__(self, explanation: str, wait_s: float) -> None:
        super().__init__(Cause.TOO_MANY_REQUESTS, explanation)
        self.retry_after_s = max(1, math.ceil(wait_s))


class Inquiries:
    """Takes inquiries in and mails them, oldest first, one after the other.

    Counters since the start: ``stored``, ``limited`` (not taken, since there were too many), ``mailed``, ``failures`` (tries),
    ``given_up``.
    """

    def __init__(self, store: Store, mail: Mail, clock: Clock, limits: InquiryLimits | None = None) -> None:
        self._store = store
        self._mail = mail
        self._clock = clock
        self._limits = limits or InquiryLimits()
        self._by_address = Buckets(self._limits.per_address_per_min, _ADDRESSES_REMEMBERED)
        self._of_all = Buckets(self._limits.per_min, 1)
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._mailer: asyncio.Task[None] | None = None
        self._unmarked = 0  # the inquiry that was mailed and is not marked as such
        self.stored = self.limited = self.mailed = self.failures = self.given_up = 0

    def start(self) -> None:
        """Begin to mail: first what an earlier run of the program has left."""
        self._mailer = asyncio.get_running_loop().create_task(self._mail_for_ever(), name="inquiry-mailer")

    async def close(self) -> None:
        """Stop mailing. A mail under way is finished, if that takes no longer than it may; the others stay in the store."""
        mailer, self._mailer = self._mailer, None
        if mailer is not None:
            self._closing.set()
            self._news.set()
            await asyncio.wait([mailer], timeout=self._limits.finish_s)
            mailer.cancel()
            await asyncio.wait([mailer])

    def figures(self) -> Sequence[Figure]:
        """``ports.part.Measured``."""
        return [
            Figure("stompgate_inquiries_stored_total", "Inquiries taken and stored.", self.stored),
            Figure("stompgate_inquiries_limited_total", "Inquiries not taken, since there were too many.", self.limited),
            Figure("stompgate_inquiries_mailed_total", "Inquiries handed over to the mail.", self.mailed),
            Figure("stompgate_inquiries_mail_failures_total", "Tries to mail an inquiry that failed.", self.failures),
            Figure("stompgate_inquiries_given_up_total", "Inquiries given up after days of failures.", self.given_up),
        ]

    async def take(self, *, name: str, email: str, phone: str, message: str, address: str = "") -> None:
        """Store an inquiry that came from a network address; return once it is durable.

        Raises ``Refusal`` (BAD_REQUEST), ``TooManyInquiries``, and what the store raises.
        """
        inquiry = Inquiry(
            0,
            _line(name, "name", NAME_LIMIT_CHARS),
            _line(email, "email", EMAIL_LIMIT_CHARS),
            _line(phone, "phone", PHONE_LIMIT_CHARS),
            _text(message),
        )
        self._admit(address)
        await self._store.add_inquiry(inquiry)
        self.stored += 1
        self._news.set()

    def _admit(self, address: str) -> None:
        """Raises ``TooManyInquiries``. Who is refused takes no tokens: else nobody would get any while someone tries hard."""
        now_s = self._clock.monotonic()
        waits = self._by_address.wait_s(address, now_s), self._of_all.wait_s(_EVERYONE, now_s)
        if max(waits) > 0:
            self.limited += 1
            whose = "from your address" if waits[0] >= waits[1] else "from everyone together"
            raise TooManyInquiries(f"There were too many inquiries {whose}; try later.", max(waits))
        self._by_address.take(address, now_s)
        self._of_all.take(_EVERYONE, now_s)

    # The mail

    async def _mail_for_ever(self) -> None:
        delay_s = self._limits.retry_least_s
        while not self._closing.is_set():
            self._news.clear()
            if await self._mail_what_waits():
                delay_s = self._limits.retry_least_s
                await self._pause(self._limits.look_every_s, self._news)
            else:  # what is new must not hurry a server that is away
                await self._pause(delay_s, self._closing)
                delay_s = min(delay_s * 2, self._limits.retry_most_s)

    async def _mail_what_waits(self) -> bool:
        """Mail one after the other until none is left; False if there is no use in going on now.

        One claim at a time: it outlasts the longest try, so that no other server begins the same mail.
        """
        try:
            await self._mark()  # before another is mailed: one that has waited longer may be given out first
            while not self._closing.is_set() and (waiting := await self._store.unmailed(1)):
                if not await self._mail_one(waiting[0]):
                    return False
        except (StoreUnavailable, OutcomeUnknown) as error:
            _log.warning("inquiries wait for the store", reason=str(error))
            return False
        return True

    async def _mail_one(self, inquiry: Inquiry) -> bool:
        """Hand one over and mark it; False if no others would be taken either. Raises what the store raises."""
        try:
            async with asyncio.timeout(ATTEMPT_LIMIT_S):
                await self._mail.send_inquiry(inquiry)
        except TimeoutError:
            return await self._failed(inquiry, f"no end within {ATTEMPT_LIMIT_S:g} s", only_this=False, is_final=False)
        except PartDown as error:
            return await self._failed(inquiry, str(error), only_this=False, is_final=False)
        except MailRefused as error:
            return await self._failed(inquiry, str(error), only_this=error.only_this, is_final=error.is_final)
        self.mailed += 1
        self._unmarked = inquiry.id
        await self._mark()
        return True

    async def _mark(self) -> None:
        if self._unmarked:
            await self._store.mark_mailed(self._unmarked)
            self._unmarked = 0

    async def _failed(self, inquiry: Inquiry, reason: str, *, only_this: bool, is_final: bool) -> bool:
        self.failures += 1
        which = inquiry.id if only_this else None
        days = self._limits.refused_give_up_days if is_final else self._limits.give_up_days
        retry_s = min(self._limits.retry_least_s * 2 ** min(inquiry.failures, 30), self._limits.retry_most_s)
        _log.warning("an inquiry could not be mailed", inquiry=inquiry.id, reason=reason, only_this=only_this)
        await self._store.put_off_mail(retry_s, which)
        while ids := await self._store.give_up_mail(self._clock.utc_us() - round(days * _DAY_US), which):
            self.given_up += len(ids)
            for given_up in ids:
                _log.error("an inquiry was given up", inquiry=given_up, reason=reason, failing_days=days)
        return only_this

    async def _pause(self, delay_s: float, unless: asyncio.Event) -> None:
        over = asyncio.Event()
        timer = self._clock.call_later(delay_s, over.set)
        waits = [asyncio.ensure_future(event.wait()) for event in (over, unless)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            for wait in waits:
                wait.cancel()


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
