"""Where mail goes."""

from __future__ import annotations

from typing import Protocol

from stompgate.model.inquiries import Inquiry

from .part import Part


class Mail(Part, Protocol):
    """Hands an inquiry to the support desk."""

    async def send_inquiry(self, inquiry: Inquiry) -> None:
        """Return once the mail is handed over for good. Raises ``PartDown`` when it may be tried again later: at least once."""
