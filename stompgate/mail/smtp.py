"""Mail through an SMTP server: a connection for each mail, TLS as the settings want it, a deadline for every answer.

No password goes out without TLS, and no text of the server's leaves this module with a password or a person's address in it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.errors import MessageError
from typing import Final

import aiosmtplib
import structlog

from stompgate.model.inquiries import Inquiry
from stompgate.ports.clock import Clock, pause
from stompgate.ports.mail import MailRefused
from stompgate.ports.part import PartDown

from .letter import letter
from .smtp_options import Access, Security

_PERMANENT_FROM: Final = 500
_SERVICE_ENDS: Final = 421
_ANSWER_LIMIT_CHARS: Final = 200
_UNSEEN: Final = "***"
_GOODBYE_S: Final = 1.0

# What the driver raises beside its own errors: the socket's and TLS library's; RuntimeError and AttributeError by uvloop for
# a socket that was reset just now; the others for an answer that makes no sense. One left out would end the mailer for good.
_BROKEN: Final = (
    *(aiosmtplib.SMTPException, OSError, EOFError, RuntimeError),
    *(AttributeError, ValueError, LookupError, TypeError, AssertionError),
)

_log = structlog.get_logger(__name__)


class SmtpMail:
    """``ports.mail.Mail`` by SMTP (RFC 5321).

    How the server is, is known by the last try: of a mail; or of all but a mail, made at the start and while it is down.
    """

    def __init__(self, access: Access, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._trouble = ""
        self._is_closing = False
        self._checking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to look. A server that is away is no reason not to start."""
        self._checking = asyncio.create_task(self._check_for_ever(), name="smtp-check")

    async def close(self) -> None:
        """Stop looking."""
        checking, self._checking = self._checking, None
        # Before Python 3.12 asyncio.wait_for may swallow a cancellation that comes at the same moment as an answer.
        self._is_closing = True
        if checking is not None:
            checking.cancel()
            await asyncio.wait([checking])

    async def ping(self) -> None:
        if self._trouble:
            raise PartDown(self._trouble)

    async def send_inquiry(self, inquiry: Inquiry) -> None:
        access = self._access
        try:
            text = letter(inquiry, sender=access.sender, support_address=access.support_address, now_us=self._clock.utc_us())
        except (MessageError, ValueError, LookupError, AttributeError, TypeError) as error:
            # The email package has raised all of these for odd texts.
            raise MailRefused(f"cannot be written as a mail: {type(error).__name__}", only_this=True, is_final=True) from error
        async with self._session() as session:
            await self._envelope(session)
            try:
                await session.data(text)
            except aiosmtplib.SMTPDataError as error:
                if error.code == _SERVICE_ENDS:
                    raise
                raise self._refused("the mail", error, inquiry, only_this=True) from error

    # How it is

    async def _check_for_ever(self) -> None:
        while not self._is_closing:
            try:
                async with self._session() as session:
                    await self._envelope(session)
                    await session.rset()
            except (PartDown, MailRefused) as error:
                _log.warning("the mail server cannot be used", reason=str(error))
            await self._until_it_is_down()

    async def _until_it_is_down(self) -> None:
        while not self._is_closing:
            await pause(self._clock, self._access.check_every_s)
            if self._trouble:
                return

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection, logged in; whatever goes wrong on it becomes ``PartDown``, and is what ``ping`` says."""
        session = self._client()
        try:
            async with asyncio.timeout(self._access.attempt_timeout_s):
                await self._log_in(session)
                yield session
            self._trouble = ""
            await self._say_goodbye(session)
        except MailRefused as error:
            self._trouble = "" if error.only_this else str(error)
            await self._say_goodbye(session)
            raise
        except PartDown as error:
            self._trouble = str(error)
            raise
        except _BROKEN as error:
            self._trouble = self._words(error)
            raise PartDown(self._trouble) from error
        finally:
            session.close()

    async def _say_goodbye(self, session: aiosmtplib.SMTP) -> None:
        """Say QUIT where that is quick. The mail is handed over or refused by now: nothing hangs on the answer."""
        with suppress(*_BROKEN):
            await session.quit(timeout=min(_GOODBYE_S, self._access.answer_timeout_s))

    def _client(self) -> aiosmtplib.SMTP:
        access = self._access
        return aiosmtplib.SMTP(
            hostname=access.host,
            port=access.port,
            timeout=access.answer_timeout_s,
            local_hostname=_own_name(),
            use_tls=access.security is Security.TLS,
            start_tls={Security.STARTTLS: True, Security.STARTTLS_IF_OFFERED: None}.get(access.security, False),
            tls_context=access.trust,
        )

    async def _log_in(self, session: aiosmtplib.SMTP) -> None:
        access = self._access
        await session.connect()
        if not access.user:
            return
        if session.get_transport_info("sslcontext") is None:
            raise PartDown(f"{self._server}: offers no STARTTLS, and without it the password is not sent")
        try:
            await session.login(access.user, access.password)
        except aiosmtplib.SMTPAuthenticationError as error:
            # Only its codes: a server may well repeat what it was given.
            raise PartDown(f"{self._server}: refused the login ({_codes(error)})") from error

    async def _envelope(self, session: aiosmtplib.SMTP) -> None:
        """Say from whom and for whom; who is refused here is so for every mail of ours. Raises ``MailRefused``."""
        try:
            await session.mail(self._access.sender.addr_spec)
        except aiosmtplib.SMTPSenderRefused as error:
            raise self._refused("the sender", error) from error
        try:
            await session.rcpt(self._access.support_address)
        except aiosmtplib.SMTPRecipientRefused as error:
            raise self._refused("the support address", error) from error

    # Words

    @property
    def _server(self) -> str:
        return f"{self._access.host}:{self._access.port}"

    def _refused(
        self, what: str, error: aiosmtplib.SMTPResponseException, inquiry: Inquiry | None = None, *, only_this: bool = False
    ) -> MailRefused:
        said = self._shown(error.message, inquiry)
        reason = f"{self._server}: refused {what}: {error.code} {said}"
        return MailRefused(reason, only_this=only_this, is_final=error.code >= _PERMANENT_FROM)

    def _words(self, error: BaseException) -> str:
        match error:
            case aiosmtplib.SMTPResponseException():
                return f"{self._server}: {error.code} {self._shown(error.message)}"
            case TimeoutError():
                return f"{self._server}: no answer in time"
            case aiosmtplib.SMTPException():
                return f"{self._server}: {self._shown(error.message)}"
            case _:
                return f"{self._server}: {self._shown(str(error)) or type(error).__name__}"

    def _shown(self, said: str, inquiry: Inquiry | None = None) -> str:
        """What the server said, on one line, without what is nobody's business."""
        private = [self._access.password]
        if inquiry is not None:
            private += [inquiry.email, inquiry.phone, inquiry.name, *inquiry.message.splitlines()]
        for text in sorted(filter(None, private), key=len, reverse=True):
            said = said.replace(text, _UNSEEN)
        return " ".join(said.split())[:_ANSWER_LIMIT_CHARS]


def _codes(error: aiosmtplib.SMTPResponseException) -> str:
    """The code and, where there is one, the enhanced status code (RFC 3463)."""
    first, _, _ = error.message.partition(" ")
    return f"{error.code} {first}" if first.replace(".", "").isdecimal() and first.count(".") == 2 else str(error.code)


def _own_name() -> str:
    """What we call ourselves in EHLO."""
    name = socket.gethostname()
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"
