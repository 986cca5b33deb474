"""Reads the head of a frame: its command and headers.

There are two readers. The quick one takes plain heads, which nearly all are, and gives up on anything out of the
ordinary; the exact one takes every head, line by line, and is the only one to refuse. It must report the same offence
however the bytes were cut: the first one in the order of the stream.

Decisions where versions differ:

- One CR before LF belongs to the line's end in every version, as common servers have it; 1.0 and 1.1 have only LF, but
  nobody means a CR at the end of a value. Any other CR is part of the text in 1.0 and 1.1, and refused in 1.2.
- 1.0 text shows ``login: <username>``, so spaces around names and values are dropped in 1.0 and nowhere else.
- A handshake frame is not unescaped; one that names no version comes from a 1.0 peer and is trimmed as 1.0.
- An unescaped colon in a value is taken as it stands: many clients do not escape.
- NUL in a head is refused: every peer that sends one has forgotten the blank line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stompgate.model.causes import Cause, Refusal

from .escapes import unescape
from .frames import CONNECTING_COMMANDS, Command, FrameRefusal
from .versions import Version


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a peer may send. One object is shared by all connections.

    ``frame_bytes`` counts a frame from its command to the end of its body, ``header_line_bytes`` a line before its LF,
    ``headers`` the header lines of a frame, repeated ones included.
    """

    frame_bytes: int = 65536
    header_line_bytes: int = 8192
    headers: int = 64


Head = tuple[str, dict[str, str]]

_VERSION_HEADER: Final = {Command.CONNECT: "accept-version", Command.STOMP: "accept-version", Command.CONNECTED: "version"}


def read_head(head: bytes, version: Version, limits: Limits, commands: frozenset[str]) -> Head:
    """Return command and headers of a whole head, from its first octet to the LF of its blank line.

    Raises ``FrameRefusal``.
    """
    return read_plain(head, version, limits, commands) or read_exactly(head, version, limits, commands)


def read_plain(head: bytes, version: Version, limits: Limits, commands: frozenset[str]) -> Head | None:
    """Return command and headers of a head without anything unusual in it, else None."""
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if "\\" in text or "\r" in text or len(head) > limits.header_line_bytes or version is Version.V1_0:
        return None
    lines = text.split("\n")
    command = lines[0]
    # A head ends with two LF, so two empty pieces follow the headers.
    if command not in commands or len(lines) > limits.headers + 3 or len(head) > limits.frame_bytes:
        return None
    headers: dict[str, str] = {}
    for line in lines[1:-2]:
        name, colon, value = line.partition(":")
        if not (colon and name):
            return None
        if name not in headers:
            headers[name] = value
    if command in CONNECTING_COMMANDS and _VERSION_HEADER[command] not in headers:
        return None
    return command, headers


def read_exactly(data: bytes, version: Version, limits: Limits, commands: frozenset[str]) -> Head:
    """Return command and headers, or raise ``FrameRefusal`` for the first offence.

    ``data`` is a whole head, or the beginning of one that is known to break a limit. After the first offence the rest
    is read only for the sake of a ``receipt`` header.
    """
    command = ""
    headers: dict[str, str] = {}
    offences: list[Refusal] = []
    try:
        for number, line in enumerate(_lines(data, limits)):
            try:
                if number == 0:
                    command = _command(line, commands)
                else:
                    name, value = _header(line, command, version)
                    headers.setdefault(name, value)
            except Refusal as refusal:
                offences.append(refusal)
    except Refusal as refusal:
        offences.append(refusal)
    if not offences and command in CONNECTING_COMMANDS and _VERSION_HEADER[command] not in headers:
        headers = _trimmed(headers)
        if "" in headers:
            offences.append(_nameless())
    if offences:
        first = offences[0]
        raise FrameRefusal(first.cause, first.explanation, receipt=headers.get("receipt"))
    return command, headers


def _lines(data: bytes, limits: Limits) -> Iterator[bytes]:
    """Yield the lines of a head up to the blank one, without their ends; raise at the first octet that breaks a limit."""
    start = 0
    number = 0
    while True:
        lf = data.find(b"\n", start, limits.frame_bytes)
        line = data[start : lf if lf >= 0 else limits.frame_bytes]
        nul = line.find(b"\0")
        if 0 <= nul <= limits.header_line_bytes:
            unfinished = line[:nul].removesuffix(b"\r")
            if unfinished and number <= limits.headers:
                yield unfinished  # it may be the receipt that the frame asks for
            raise Refusal(Cause.BROKEN_FRAME, "The frame ends before the blank line that must follow its headers.")
        if len(line) > limits.header_line_bytes:
            raise Refusal(Cause.FRAME_TOO_LARGE, f"A header line has more than {limits.header_line_bytes} bytes.")
        if lf < 0:
            raise frame_too_large(limits)
        line = line.removesuffix(b"\r")
        if not line:
            return
        if number > limits.headers:
            raise Refusal(Cause.FRAME_TOO_LARGE, f"A frame has more than {limits.headers} headers.")
        yield line
        start = lf + 1
        number += 1


def _command(line: bytes, commands: frozenset[str]) -> str:
    command = line.decode("utf-8", "replace")
    if command not in commands:
        expected = ", ".join(sorted(commands))
        raise Refusal(Cause.UNKNOWN_COMMAND, f"A frame must begin with one of {expected}, in capitals.")
    return command


def _header(line: bytes, command: str, version: Version) -> tuple[str, str]:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Refusal(Cause.NOT_UTF8, "Headers must be UTF-8.") from None
    name, colon, value = text.partition(":")
    if not colon:
        raise Refusal(Cause.BAD_HEADER, "A header line must have the form name:value.")
    if command not in CONNECTING_COMMANDS:
        if version is Version.V1_0:
            name, value = name.strip(" "), value.strip(" ")
        else:
            if version is Version.V1_2 and "\r" in text:
                raise Refusal(Cause.BAD_HEADER, "A carriage return inside a header must be sent as \\r .")
            name, value = unescape(name, version), unescape(value, version)
    if not name:
        raise _nameless()
    return name, value


def _trimmed(headers: dict[str, str]) -> dict[str, str]:
    trimmed: dict[str, str] = {}
    for name, value in headers.items():
        trimmed.setdefault(name.strip(" "), value.strip(" "))
    return trimmed


def _nameless() -> Refusal:
    return Refusal(Cause.BAD_HEADER, "A header must have a name before its colon.")


def frame_too_large(limits: Limits) -> Refusal:
    """Return the refusal of a frame beyond ``frame_bytes``."""
    return Refusal(Cause.FRAME_TOO_LARGE, f"A frame may have at most {limits.frame_bytes} bytes.")
