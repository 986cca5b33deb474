"""What an inquiry looks like as a mail. Of what a person typed nothing may reach its head but one line of text and one address.

``email.message`` refuses line ends in a header by itself. It also reads encoded words that somebody typed, and older versions
write what comes out of them as it is, line ends included: so none is let through to it.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from stompgate.model.inquiries import Inquiry

_LOCAL_LIMIT_CHARS: Final = 64
_ADDRESS_LIMIT_CHARS: Final = 254
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# RFC 5321 section 4.1.2 without quoted strings and address literals, in ASCII.
_PLAIN_ADDRESS: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_WITH_NAME: Final = re.compile(r"([^<>\"@,;:\\]*?) *<([^<>]*)>")


def subject_of(inquiry: Inquiry) -> str:
    """Return the subject, which existing mail rules look for. One line, since a line break would begin another header."""
    name = "".join(character if character.isprintable() else " " for character in inquiry.name)
    return f"[문의]: {name.replace('=?', '= ?')}"


def text_of(inquiry: Inquiry) -> str:
    """Return the text: the message, and behind it who asks. Lines end with LF; what is no Unicode is a question mark."""
    lines = f"{inquiry.message}\n 문의자: {inquiry.email}/{inquiry.phone}".splitlines()
    return "\n".join(lines).encode(errors="replace").decode()


def is_plain_address(text: str) -> bool:
    """Whether this is an address that every mail server takes: RFC 5321 in ASCII, without quotes and address literals."""
    local, _, _ = text.rpartition("@")
    if len(local) > _LOCAL_LIMIT_CHARS or len(text) > _ADDRESS_LIMIT_CHARS or "=?" in text:
        return False
    return _PLAIN_ADDRESS.fullmatch(text) is not None


def sender_of(text: str) -> Address | None:
    """Return what ``address`` or ``Name <address>`` means, None if it is neither."""
    named = _WITH_NAME.fullmatch(text)
    name, address = (named[1], named[2]) if named else ("", text)
    if not is_plain_address(address) or not name.isprintable() or "=?" in name:
        return None
    return Address(name, addr_spec=address)


def letter(inquiry: Inquiry, *, sender: Address, support_address: str, now_us: int) -> bytes:
    """Return the mail: lines ended by CRLF, all in ASCII, none longer than 78 bytes but for a word that can't be folded.

    A second try has the same Message-ID, so that who gets both can tell. ``now_us``: microseconds since 1970.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = Address(addr_spec=support_address)
    if is_plain_address(inquiry.email):
        message["Reply-To"] = Address(addr_spec=inquiry.email)
    message["Subject"] = subject_of(inquiry)
    message["Date"] = datetime.fromtimestamp(now_us // 1_000_000, UTC)
    message["Message-ID"] = f"<inquiry-{inquiry.id}-{_mark_of(inquiry)}@{sender.domain}>"
    message.set_content(text_of(inquiry), charset="utf-8", cte="base64")
    return message.as_bytes()


def _mark_of(inquiry: Inquiry) -> str:
    """What is the same for the same inquiry and differs for others, such as one that has its number in a restored database."""
    texts = "\0".join((inquiry.name, inquiry.email, inquiry.phone, inquiry.message))
    return hashlib.sha256(texts.encode(errors="replace")).hexdigest()[:16]
