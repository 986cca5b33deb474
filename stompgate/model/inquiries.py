"""Inquiries to the support desk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What someone asked. ``id`` is the store's, 0 before it is stored.

    ``failures``: how often it could not be mailed. ``failing_since_us``: when that happened first, in microseconds since 1970
    by the clock of the store; 0 if it never did.
    """

    id: int
    name: str
    email: str
    phone: str
    message: str
    failures: int = 0
    failing_since_us: int = 0
