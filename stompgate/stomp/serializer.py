"""Turns frames into bytes, by the rules of a version.

What a version cannot express never breaks a frame or slips a header into it: see ``escapes``. A MESSAGE goes to many
receivers, so it is encoded once per version, and only what differs between subscriptions is put in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .escapes import escape_header
from .frames import COMMANDS_WITH_BODY, CONNECTING_COMMANDS, Command, Frame
from .versions import Version

_SET_BY_TEMPLATE: Final = frozenset({"destination", "message-id", "subscription", "ack", "content-length"})


def serialize(frame: Frame, version: Version) -> bytes:
    """Return the frame's bytes. ``content-length`` is written for every body, whatever the frame's headers say.

    Raises ``ValueError`` for a body on a frame that cannot have one.
    """
    body = frame.body
    if body and frame.command not in COMMANDS_WITH_BODY:
        raise ValueError(f"{frame.command} cannot have a body")
    # 1.0 has no escapes, and nor has the handshake.
    spoken = Version.V1_0 if frame.command in CONNECTING_COMMANDS else version
    lines = _header_lines([header for header in frame.headers.items() if header[0] != "content-length"], spoken)
    length = f"content-length:{len(body)}\n" if body else ""
    head = f"{frame.command}\n{lines}{length}\n".encode("utf-8", "replace")
    return b"%b%b\0" % (head, body)


def subscription_line(subscription_id: str, version: Version) -> bytes:
    """Return the header line that ``MessageTemplate.splice`` puts in; it may be kept as long as the subscription lives."""
    if _is_simple(subscription_id):
        return b"subscription:%b\n" % subscription_id.encode()
    return _header_lines([("subscription", subscription_id)], version).encode("utf-8", "replace")


@dataclass(slots=True)
class MessageTemplate:
    """A MESSAGE in one version, lacking only what differs between its receivers."""

    version: Version
    _before: bytes
    _after: bytes

    @classmethod
    def of(
        cls, destination: str, message_id: str, headers: Iterable[tuple[str, str]], body: bytes, version: Version
    ) -> MessageTemplate:
        """Encode a message. ``headers`` are the sender's own, or the server's; those written here anyway are passed over."""
        lines = [("destination", destination), ("message-id", message_id)]
        lines += [header for header in headers if header[0] not in _SET_BY_TEMPLATE]
        length = f"content-length:{len(body)}\n" if body else ""
        before = f"{Command.MESSAGE}\n{_header_lines(lines, version)}{length}".encode("utf-8", "replace")
        return cls(version, before, b"\n%b\0" % body)

    def for_subscription(self, subscription_id: str | None, ack: str | None = None) -> bytes:
        """Return the frame for one subscription.

        None: a 1.0 subscription without id, whose messages have no ``subscription`` header. ``ack``: the id that a
        subscription which acknowledges by hand answers with (1.2).
        """
        line = b"" if subscription_id is None else subscription_line(subscription_id, self.version)
        if ack is not None:
            line += _header_lines([("ack", ack)], self.version).encode("utf-8", "replace")
        return self.splice(line)

    def splice(self, line: bytes) -> bytes:
        """Return the frame with a line, or lines, made by ``subscription_line``."""
        return self._before + line + self._after


def _header_lines(headers: Sequence[tuple[str, str]], version: Version) -> str:
    """Return the lines of the headers, escaped only where one of them needs it."""
    count = len(headers)
    plain = "".join([f"{name}:{value}\n" for name, value in headers])
    # Each has a colon and an LF of its own, so one more of either was meant as text. 1.0 has rules for spaces besides.
    if (
        plain.count("\n") == count
        and plain.count(":") == count
        and "\\" not in plain
        and "\r" not in plain
        and "\0" not in plain
        and "\n:" not in plain
        and not plain.startswith(":")
        and version is not Version.V1_0
    ):
        return plain
    return "".join([escape_header(name, value, version) for name, value in headers])


def _is_simple(text: str) -> bool:
    """Tell whether a text is made of letters, digits and hyphens, as nearly all ids are."""
    return text.replace("-", "").isalnum()
