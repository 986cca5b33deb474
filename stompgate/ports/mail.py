"""Where mail goes."""

from __future__ import annotations

from typing import Protocol

from stompgate.model.inquiries import Inquiry

from .part import Part

ATTEMPT_LIMIT_S = 240.0
"""Seconds that handing over one mail may take: less than ``ports.store.MAIL_CLAIM_S``, or another server would begin it too."""


class MailRefused(Exception):
    """The mail server does not take a mail. The text is for operators; it holds no secret, and nothing of the inquiry.

    ``only_this``: others may still be taken. ``is_final``: by the server's word it will not be taken later either, unless
    something is changed.
    """

    def __init__(self, reason: str, *, only_this: bool, is_final: bool) -> None:
        super().__init__(reason)
        self.only_this = only_this
        self.is_final = is_final


class Mail(Part, Protocol):
    """Hands an inquiry to the support desk."""

    async def send_inquiry(self, inquiry: Inquiry) -> None:
        """Return once the mail is handed over for good: at least once, should it be called again for the same inquiry.

        Raises ``PartDown`` where no mail goes out at the moment, and ``MailRefused``. Takes ``ATTEMPT_LIMIT_S`` at most.
        """
