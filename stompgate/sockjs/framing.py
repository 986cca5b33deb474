"""The frames of SockJS (sockjs-protocol 0.3.3, "Protocol and framing"): messages as JSON, and what else a server says.

A message is bytes on this side, UTF-8. JSON may also carry lone surrogates, which no UTF-8 has: they are kept in the
manner of Python's ``surrogatepass``, so that what came in goes out as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

OPEN: Final = b"o"
HEARTBEAT: Final = b"h"

_ESCAPED: Final = re.compile("[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")
"""What browsers mangle ("JSON Unicode Encoding"), beside the control characters that JSON escapes anyway."""

_REPLACEMENT: Final = "\ufffd"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class BrokenPayload(Exception):
    """What a client sent is no JSON, or not of messages."""


class NoPayload(Exception):
    """What a client sent has no messages where some are expected."""


def encode_message(message: bytes) -> bytes:
    """A message as a JSON string. Raises ``UnicodeDecodeError`` for one that is no text."""
    text = message.decode("utf-8", "surrogatepass")
    quoted = json.dumps(text, ensure_ascii=False)
    if not text.isascii():
        quoted = _ESCAPED.sub(_escape, quoted)
    return quoted.encode()


def messages_frame(encoded: Iterable[bytes]) -> bytes:
    """An ``a`` frame of messages that are JSON strings already."""
    return b"a[%b]" % b",".join(encoded)


def close_frame(code: int, reason: str) -> bytes:
    """A ``c`` frame."""
    return b"c[%d,%b]" % (code, json.dumps(reason).encode())


ANOTHER_RECEIVER: Final = close_frame(2010, "Another connection still open")
INTERRUPTED: Final = close_frame(1002, "Connection interrupted")


def decode_messages(payload: bytes, *, keeps_surrogates: bool = True) -> list[bytes]:
    """The messages of a payload: a JSON array of strings, or one string. Raises ``BrokenPayload`` and ``NoPayload``.

    Lone surrogates become U+FFFD unless they are kept.
    """
    if not payload.strip():
        raise NoPayload
    try:
        value = json.loads(payload.decode())
    except (ValueError, RecursionError) as error:
        raise BrokenPayload from error
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise NoPayload
    return [_encode(text, keeps_surrogates=keeps_surrogates) for text in value]


def _encode(text: object, *, keeps_surrogates: bool) -> bytes:
    if not isinstance(text, str):
        raise BrokenPayload
    try:
        return text.encode()
    except UnicodeEncodeError:
        if keeps_surrogates:
            return text.encode("utf-8", "surrogatepass")
        return _SURROGATE.sub(_REPLACEMENT, text).encode()


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
