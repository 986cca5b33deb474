"""How header texts are escaped, per version (STOMP 1.2 and 1.1, Value Encoding; 1.0 has no escapes).

Escaping never fails and never lets a text end its line or frame: what a version has no escape for becomes a space in a
value, and a name with such a character cannot be sent at all, since a changed name could be taken for another header.
"""

from __future__ import annotations

import re
from typing import Final

from stompgate.model.causes import Cause, Refusal

from .versions import Version

_UNESCAPED: Final = {
    Version.V1_1: {"\\n": "\n", "\\c": ":", "\\\\": "\\"},
    Version.V1_2: {"\\n": "\n", "\\c": ":", "\\\\": "\\", "\\r": "\r"},
}
_ESCAPE: Final = re.compile(r"\\.?", re.DOTALL)

_LITERAL: Final = str.maketrans({"\n": " ", "\r": " ", "\0": " "})
_ESCAPED: Final = {
    Version.V1_0: _LITERAL,
    Version.V1_1: str.maketrans({"\\": "\\\\", "\n": "\\n", ":": "\\c", "\r": " ", "\0": " "}),
    Version.V1_2: str.maketrans({"\\": "\\\\", "\n": "\\n", ":": "\\c", "\r": "\\r", "\0": " "}),
}

_UNSENDABLE_NAME: Final = {
    # A 1.0 reader may trim, so a name with a space at its end could turn into another one.
    Version.V1_0: re.compile(r"[:\n\r\0]|^ | \Z|^\Z"),
    Version.V1_1: re.compile(r"[\r\0]|^\Z"),
    Version.V1_2: re.compile(r"\0|^\Z"),
}


def unescape(text: str, version: Version) -> str:
    """Return the text that was meant. Raises ``Refusal`` for an escape that the version does not know: it is fatal."""
    if "\\" not in text or version is Version.V1_0:
        return text
    meant = _UNESCAPED[version]
    try:
        return _ESCAPE.sub(lambda escape: meant[escape[0]], text)
    except KeyError:
        known = " ".join(meant)
        raise Refusal(
            Cause.BAD_HEADER, f"A header holds an escape that STOMP {version.value} does not know; it knows {known} ."
        ) from None


def escape_header(name: str, value: str, version: Version) -> str:
    """Return the header's line with its LF, or nothing at all if the version cannot express the name."""
    if _UNSENDABLE_NAME[version].search(name):
        return ""
    table = _ESCAPED[version]
    return f"{name.translate(table)}:{value.translate(table)}\n"
