"""What an inquiry looks like as a mail."""

from __future__ import annotations

from stompgate.model.inquiries import Inquiry


def subject_of(inquiry: Inquiry) -> str:
    """Return the subject, which existing mail rules look for. One line, since a line break would begin another header."""
    name = "".join(character if character.isprintable() else " " for character in inquiry.name)
    return f"[문의]: {name}"
