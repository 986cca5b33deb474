"""Mail for a server without a mail server: a line in the log, and the inquiry stays in the store.

The line must hold neither the message nor an address: logs travel further than mail does.
"""

from __future__ import annotations

import structlog

from stompgate.model.inquiries import Inquiry

from .letter import subject_of

_log = structlog.get_logger()


class LogMail:
    """``ports.mail.Mail`` that tells the log that an inquiry has come, by its id and subject."""

    async def open(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing is held."""

    async def ping(self) -> None:
        """The log always works."""

    async def send_inquiry(self, inquiry: Inquiry) -> None:
        _log.info("inquiry", inquiry_id=inquiry.id, subject=subject_of(inquiry))
