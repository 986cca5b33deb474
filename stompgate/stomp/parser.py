"""Turns the bytes of one peer into frames.

The parser is pulled: bytes are handed in whenever they come, and frames are taken out one by one when the caller can
use them, so that a frame may wait and the version may change exactly between two frames. It must give the same frames
and the same refusal however the bytes are cut, never search a byte again because more have come, and allocate nothing
because of a length that the peer claims. How much is left untaken is the caller's to bound, by ``buffered_bytes``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from stompgate.model.causes import Cause, Refusal

from .frames import CLIENT_COMMANDS, COMMANDS_WITH_BODY, Frame, FrameRefusal
from .head import Head, Limits, frame_too_large, read_exactly, read_head
from .versions import Version

__all__ = ["Limits", "Parser"]

_EOLS: Final = re.compile(rb"(?:\n++|\r\n)++")
_LENGTH_DIGITS: Final = 18
_DEFAULT_LIMITS: Final = Limits()
_CR: Final = 13
_NUL: Final = 0

# What there is instead of a body, where none was found.
_UNFINISHED: Final = -1
_BROKEN: Final = -2


class Parser:
    """Reads the frames of one peer, by the rules of ``version``.

    Leave ``version`` at 1.2 until CONNECT is read: a CONNECT is understood whatever its version. Set it once the version
    is chosen; it holds from the next frame on, as ``limits`` do. ``commands`` are those that the peer may send.

    After a refusal, or ``discard``, everything is thrown away: a stream that was misread once cannot be trusted again.
    """

    __slots__ = (
        "_buffer",
        "_commands",
        "_discards",
        "_head",
        "_line_searched",
        "_line_start",
        "_lines",
        "_position",
        "_scanned",
        "limits",
        "version",
    )

    def __init__(self, limits: Limits = _DEFAULT_LIMITS, commands: frozenset[str] = CLIENT_COMMANDS) -> None:
        self.version = Version.V1_2
        self.limits = limits
        self._commands = commands
        # A whole chunk is read where it lies; a bytearray takes its place only while a frame is unfinished.
        self._buffer: bytes | bytearray = b""
        self._position = 0  # where the next frame begins
        self._scanned = 0  # how far the unfinished frame was searched for its end
        self._line_start = 0  # where the unfinished line of an unfinished head begins
        self._line_searched = 0  # how far it was searched for its LF
        self._lines = 0  # how many finished lines an unfinished head has
        self._head: tuple[Head, int] | None = None  # of a frame with an unfinished body, and where that body begins
        self._discards = False

    @property
    def buffered_bytes(self) -> int:
        """How many bytes were received and not yet taken out as frames."""
        return len(self._buffer) - self._position

    def receive_bytes(self, data: bytes) -> None:
        """Take what the peer sent next. Reads nothing yet, so it cannot fail."""
        if self._discards:
            return
        if not self._buffer:
            self._buffer = data
            return
        self._drop_taken()
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def discard(self) -> None:
        """Throw away what is here and all that comes: the peer has nothing to say any more (after DISCONNECT or ERROR)."""
        self._discards = True
        self._forget_buffer()
        self._head = None

    def next_frame(self) -> Frame | None:
        """Return the next frame; None if it is not all here yet.

        Heart-beats between frames are passed over. Raises ``FrameRefusal`` for what is no frame, or too large a one; after
        that there is none any more.
        """
        try:
            frame = self._read_frame()
        except Refusal:
            self.discard()
            raise
        if frame is None:
            self._drop_taken()
        return frame

    def _read_frame(self) -> Frame | None:
        if self._head is not None:
            head, body_start = self._head
            return self._read_body(head, body_start)
        if self._scanned <= self._position and not self._at_frame():
            return None
        start = self._position
        nul = self._find_nul(start)
        body_start = self._find_body() if nul < 0 else _after_blank_line(self._buffer, start, nul)
        if body_start == _UNFINISHED:
            return None
        if body_start == _BROKEN:
            seen = bytes(self._buffer[start : start + self.limits.frame_bytes])
            head = read_exactly(seen, self.version, self.limits, self._commands)
        else:
            head = read_head(bytes(self._buffer[start:body_start]), self.version, self.limits, self._commands)
        return self._read_body(head, body_start)

    def _at_frame(self) -> bool:
        """Pass over the line ends between frames; tell whether a frame begins after them."""
        buffer, at = self._buffer, self._position
        if at == len(buffer):
            return False
        if buffer[at] > _CR:
            return True
        eols = _EOLS.match(buffer, at)
        if eols is not None:
            self._position = at = eols.end()
        # A CR at the very end may be half of a line end.
        return at < len(buffer) and not (buffer[at] == _CR and at + 1 == len(buffer))

    def _find_nul(self, start: int) -> int:
        nul = self._buffer.find(b"\0", self._scanned if self._scanned > start else start)
        self._scanned = nul if nul >= 0 else len(self._buffer)
        return nul

    def _find_body(self) -> int:
        """Go on reading the lines of an unfinished frame; return where its body begins, or what there is instead.

        Only here, where the end of the frame is not in sight, must the limits be watched line by line.
        """
        buffer, limits = self._buffer, self.limits
        line_start = max(self._line_start, self._position)
        searched = max(self._line_searched, line_start)
        while True:
            lf = buffer.find(b"\n", searched)
            line_bytes = (lf if lf >= 0 else len(buffer)) - line_start
            if line_bytes > limits.header_line_bytes or self._lines > limits.headers + 1:
                return _BROKEN
            if lf < 0:
                break
            if line_bytes == 0 or (line_bytes == 1 and buffer[line_start] == _CR):
                return lf + 1
            line_start = searched = lf + 1
            self._lines += 1
        self._line_start, self._line_searched = line_start, len(buffer)
        return _BROKEN if len(buffer) - self._position > limits.frame_bytes else _UNFINISHED

    def _read_body(self, head: Head, body_start: int) -> Frame | None:
        """Return the frame if its body and the NUL after it are here; else remember its head."""
        command, headers = head
        buffer = self._buffer
        end = self._find_end(head, body_start)
        if end < 0 or end >= len(buffer):
            self._head = (head, body_start)
            return None
        if buffer[end] != _NUL:
            what = "its content-length" if "content-length" in headers else "its headers; only SEND may have a body"
            raise _refusal(Cause.BROKEN_FRAME, f"A NUL must follow the frame after {what}.", headers)
        body = bytes(buffer[body_start:end])
        self._head = None
        self._lines = 0
        if end + 1 == len(buffer):
            self._forget_buffer()
        else:
            self._position = end + 1
        return Frame(command, headers, body)

    def _find_end(self, head: Head, body_start: int) -> int:
        """Return where the body must end, negative while that is not known."""
        command, headers = head
        claimed = headers.get("content-length")
        if claimed is not None:
            end = body_start + _length(claimed, headers)
            if end > body_start and command not in COMMANDS_WITH_BODY:
                raise _refusal(Cause.BROKEN_FRAME, f"{command} cannot have a body.", headers)
        elif command not in COMMANDS_WITH_BODY:
            return body_start
        else:
            end = self._find_nul(body_start)
        if (end if end >= 0 else len(self._buffer)) - self._position > self.limits.frame_bytes:
            raise _refusal(Cause.FRAME_TOO_LARGE, frame_too_large(self.limits).explanation, headers)
        return end

    def _forget_buffer(self) -> None:
        self._buffer = b""
        self._position = self._scanned = self._line_start = self._line_searched = 0

    def _drop_taken(self) -> None:
        """Let go of the bytes that were taken out as frames."""
        taken = self._position
        if taken == 0:
            return
        if taken == len(self._buffer):
            self._forget_buffer()
            return
        if isinstance(self._buffer, bytearray):
            del self._buffer[:taken]
        else:
            self._buffer = self._buffer[taken:]
        self._position = 0
        self._scanned = max(0, self._scanned - taken)
        self._line_start = max(0, self._line_start - taken)
        self._line_searched = max(0, self._line_searched - taken)
        if self._head is not None:
            head, body_start = self._head
            self._head = (head, body_start - taken)


def _after_blank_line(buffer: bytes | bytearray, start: int, end: int) -> int:
    """Return where the first blank line of a frame is over; broken if there is none before ``end``."""
    lf = buffer.find(b"\n\n", start, end)
    # The blank line may itself end with CRLF; such a one counts only if it comes before the other.
    crlf = buffer.find(b"\n\r\n", start, lf + 1 if lf >= 0 else end)
    if crlf >= 0:
        return crlf + 3
    return lf + 2 if lf >= 0 else _BROKEN


def _length(claimed: str, headers: Mapping[str, str]) -> int:
    if not (claimed.isdecimal() and claimed.isascii() and len(claimed) <= _LENGTH_DIGITS):
        raise _refusal(Cause.BAD_HEADER, "The content-length header must be a number of bytes, in digits alone.", headers)
    return int(claimed)


def _refusal(cause: Cause, explanation: str, headers: Mapping[str, str]) -> FrameRefusal:
    return FrameRefusal(cause, explanation, receipt=headers.get("receipt"))
