"""Inquiries to the support desk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What someone asked. ``id`` is the store's, 0 before it is stored."""

    id: int
    name: str
    email: str
    phone: str
    message: str
