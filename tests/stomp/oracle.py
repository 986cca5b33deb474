"""A second reader of STOMP, written from the text of the specifications alone, to compare the first one with.

It takes a whole stream, octet by octet, and shares nothing with ``stompgate.stomp``. Where the texts are silent or peers are
known to differ, it takes the liberties that the program documents, and no others:

- a line may end with CRLF in every version, and line ends may come before the first frame as well as between frames;
- a colon within a header's value is part of the value, although 1.2's grammar has none there;
- NUL within a head is refused, and in 1.2 a CR that is not part of a line's end;
- 1.0 forgives spaces around names and values; so does a CONNECT that names no version, which is one of 1.0;
- a frame of the handshake is never unescaped, STOMP and CONNECTED no more than CONNECT.

``python -m tests.stomp.oracle --examples N`` compares the two at length.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field

CLIENT = frozenset(
    ["CONNECT", "STOMP", "SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT", "DISCONNECT"]
)
SERVER = frozenset(["CONNECTED", "MESSAGE", "RECEIPT", "ERROR"])
WITH_BODY = frozenset({"SEND", "MESSAGE", "ERROR"})
VERSION_HEADERS = {"CONNECT": "accept-version", "STOMP": "accept-version", "CONNECTED": "version"}
ESCAPES = {
    "1.1": {"n": "\n", "c": ":", "\\": "\\"},
    "1.2": {"r": "\r", "n": "\n", "c": ":", "\\": "\\"},
}
CR, LF, NUL = b"\r", b"\n", b"\0"
LARGEST_BYTES = 65536
"""A frame from its command to the end of its body."""


@dataclass(frozen=True)
class Read:
    """A frame as it was understood."""

    command: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reading:
    """What a stream holds: its frames, and whether something after them is no frame. An unfinished one is neither."""

    frames: list[Read] = field(default_factory=list)
    is_refused: bool = False


class NoFrame(Exception):
    """This is not STOMP."""


class Over(Exception):
    """The stream ends here."""


class Octets:
    """A stream, taken one octet at a time."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.at = 0

    def take(self) -> bytes:
        """The next octet."""
        if self.at == len(self.stream):
            raise Over
        self.at += 1
        return self.stream[self.at - 1 : self.at]

    def sees(self, expected: bytes) -> bool:
        """Whether these octets come next."""
        return self.stream[self.at : self.at + len(expected)] == expected


def read(stream: bytes, version: str, commands: frozenset[str] = CLIENT) -> Reading:
    """Read all that there is, by the rules of a version."""
    octets = Octets(stream)
    reading = Reading()
    try:
        while True:
            pass_over_line_ends(octets)
            reading.frames.append(read_frame(octets, version, commands))
    except Over:
        pass
    except NoFrame:
        reading.is_refused = True
    return reading


def pass_over_line_ends(octets: Octets) -> None:
    """*(EOL)"""
    while octets.sees(LF) or octets.sees(CR + LF):
        while octets.take() != LF:
            pass
    if octets.at == len(octets.stream) - 1 and octets.sees(CR):
        raise Over  # it cannot be known what that begins


def read_frame(octets: Octets, version: str, commands: frozenset[str]) -> Read:
    """Command EOL *(header EOL) EOL *OCTET NULL"""
    start = octets.at
    lines = read_lines(octets)
    head_bytes = octets.at - start
    command = as_text(lines[0])
    if command not in commands:
        raise NoFrame
    headers = read_headers(command, lines[1:], version)
    claimed = headers.get("content-length")
    if claimed is not None:
        if not claimed or len(claimed) > 18 or any(digit not in "0123456789" for digit in claimed):
            raise NoFrame
        length = int(claimed)
        if (length > 0 and command not in WITH_BODY) or head_bytes + length > LARGEST_BYTES:
            raise NoFrame
        body = b"".join(octets.take() for _ in range(length))
        if octets.take() != NUL:
            raise NoFrame
    else:
        body = b""
        while (octet := octets.take()) != NUL:
            if command not in WITH_BODY:
                raise NoFrame
            body += octet
    return Read(command, headers, body)


def read_lines(octets: Octets) -> list[bytes]:
    """The lines of a head, without the blank one that ends it."""
    lines: list[bytes] = []
    while True:
        line = b""
        while (octet := octets.take()) != LF:
            if octet == NUL:
                raise NoFrame
            line += octet
        if line.endswith(CR):
            line = line[:-1]
        if not line:
            return lines
        lines.append(line)


def read_headers(command: str, lines: list[bytes], version: str) -> dict[str, str]:
    """Header = header-name ":" header-value; the first of equal names is the one that counts."""
    pairs = [read_header(line, is_handshake=command in VERSION_HEADERS, version=version) for line in lines]
    if command in VERSION_HEADERS and not any(name == VERSION_HEADERS[command] for name, _ in pairs):
        pairs = [(name.strip(" "), value.strip(" ")) for name, value in pairs]
    headers: dict[str, str] = {}
    for name, value in pairs:
        if not name:
            raise NoFrame
        if name not in headers:
            headers[name] = value
    return headers


def read_header(line: bytes, *, is_handshake: bool, version: str) -> tuple[str, str]:
    text = as_text(line)
    if ":" not in text:
        raise NoFrame
    colon = text.index(":")
    name, value = text[:colon], text[colon + 1 :]
    if is_handshake:
        return name, value
    if version == "1.0":
        return name.strip(" "), value.strip(" ")
    if version == "1.2" and "\r" in text:
        raise NoFrame
    return unescape(name, version), unescape(value, version)


def unescape(text: str, version: str) -> str:
    """Value Encoding."""
    meant = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ESCAPES[version]:
                raise NoFrame
            character = ESCAPES[version][escaped]
        meant += character
    return meant


def as_text(octets: bytes) -> str:
    try:
        return str(octets, "utf-8")
    except UnicodeDecodeError:
        raise NoFrame from None


def main(arguments: list[str]) -> None:
    """Compare at length."""
    parser = argparse.ArgumentParser(prog="python -m tests.stomp.oracle")
    parser.add_argument("--examples", type=int, default=20_000, help="streams of each kind")
    asked = parser.parse_args(arguments)
    from tests.stomp.test_oracle import comparisons

    for name, compare in comparisons(asked.examples).items():
        compare()
        print(f"{name}: {asked.examples} streams read alike", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
