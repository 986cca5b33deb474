"""Turns frames into bytes, by the rules of a version.

What a version cannot express never breaks a frame or slips a header into it: see ``escapes``. A MESSAGE goes to many
receivers, so it is encoded once per version, and only what differs between subscriptions is put in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .escapes import escape_header, literal_header
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
    if frame.command in CONNECTING_COMMANDS:
        lines = [literal_header(name, value) for name, value in frame.headers.items() if name != "content-length"]
    else:
        lines = [escape_header(name, value, version) for name, value in frame.headers.items() if name != "content-length"]
    length = f"content-length:{len(body)}\n" if body else ""
    head = f"{frame.command}\n{''.join(lines)}{length}\n"
    return b"%b%b\0" % (head.encode("utf-8", "replace"), body)


def subscription_line(subscription_id: str, version: Version) -> bytes:
    """Return the header line that ``MessageTemplate.splice`` puts in; it may be kept as long as the subscription lives."""
    return _header_line("subscription", subscription_id, version)


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
        plain = "".join([f"{name}:{value}\n" for name, value in lines])
        if not _is_plain(plain, len(lines), version):
            plain = "".join([escape_header(name, value, version) for name, value in lines])
        length = f"content-length:{len(body)}\n" if body else ""
        before = f"{Command.MESSAGE}\n{plain}{length}".encode("utf-8", "replace")
        return cls(version, before, b"\n%b\0" % body)

    def for_subscription(self, subscription_id: str | None, ack: str | None = None) -> bytes:
        """Return the frame for one subscription.

        None: a 1.0 subscription without id, whose messages have no ``subscription`` header. ``ack``: the id that a
        subscription which acknowledges by hand answers with (1.2).
        """
        line = b"" if subscription_id is None else _header_line("subscription", subscription_id, self.version)
        if ack is not None:
            line += _header_line("ack", ack, self.version)
        return self.splice(line)

    def splice(self, line: bytes) -> bytes:
        """Return the frame with a line, or lines, made by ``subscription_line``."""
        return self._before + line + self._after


def _header_line(name: str, value: str, version: Version) -> bytes:
    line = f"{name}:{value}\n"
    if not _is_plain(line, 1, version):
        line = escape_header(name, value, version)
    return line.encode("utf-8", "replace")


def _is_plain(lines: str, count: int, version: Version) -> bool:
    """Tell whether ``count`` header lines are well-formed and the same escaped as not, and stay that many.

    Each has a colon and an LF of its own, so one more of either was meant as text. 1.0 has rules for spaces besides.
    """
    return (
        lines.count("\n") == count
        and lines.count(":") == count
        and "\\" not in lines
        and "\r" not in lines
        and "\0" not in lines
        and "\n:" not in lines
        and version is not Version.V1_0
    )
