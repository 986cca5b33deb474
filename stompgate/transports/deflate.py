"""permessage-deflate (RFC 7692): what is agreed with a client, and what it sends compressed, inflated within bounds.

Neither side keeps a window from one message to the next: one compressed message can then be shared by all receivers, and
an idle connection costs no window of 32 KiB. Nothing is ever inflated beyond what is about to be refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from websockets.exceptions import NegotiationError, PayloadTooBig, ProtocolError
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.typing import ExtensionName, ExtensionParameter

from .framing import FLUSHED, DeflateFraming

_NAME: Final = ExtensionName("permessage-deflate")
_WITHOUT_VALUE: Final = frozenset({"server_no_context_takeover", "client_no_context_takeover"})
_WINDOW_BITS: Final = {str(bits): bits for bits in range(8, 16)}
_INFLATE_BITS: Final = 15  # whatever was agreed: some clients that promise 8 use 9, as zlib does
_LEAST_BITS: Final = 9  # zlib writes no smaller window
_SENT_BITS: Final = 12
"""Of what we send. Chat messages are shorter than 4 KiB, and clearing a larger window costs more than compressing."""

_PADDING: Final = (b"", b"\x00")
"""What may follow a final block: nothing, or the empty block that makes it flushed data (RFC 7692 section 7.2.3.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflateLimits:
    """``least_bytes``: smaller frames go uncompressed. A message may inflate to ``free_bytes``, and beyond that to ``ratio``
    times what came of it, and never to more than ``message_bytes``, or ``stranger_bytes`` until the peer has said who it is;
    with 0 a stranger may send nothing compressed."""

    least_bytes: int = 512
    free_bytes: int = 32 * 1024
    ratio: int = 50
    message_bytes: int = 1024 * 1024
    stranger_bytes: int = 0


class CompressedTooEarly(ProtocolError):
    """A stranger sent something compressed."""


class InflatesTooMuch(PayloadTooBig):
    """A message is a great many times larger than what came of it."""


class Inflater(Extension):
    """One connection's: takes the frames of the library and inflates them. ``framing`` is for what goes out.

    It stands in the place of the library's own extension, which bounds each fragment by itself and not the message, knows
    no ratio, inflates for strangers, and compresses for each receiver anew.
    """

    name = _NAME

    __slots__ = ("_inflated_bytes", "_limits", "_message_bytes", "_received_bytes", "_stream", "framing")

    def __init__(self, limits: DeflateLimits, framing: DeflateFraming) -> None:
        self.framing = framing
        self._limits = limits
        self._message_bytes = limits.stranger_bytes
        self._stream: Any = None  # zlib's object has no name in this Python; set while a compressed message comes in
        self._received_bytes = 0
        self._inflated_bytes = 0

    def admit(self) -> None:
        """The peer has said who it is."""
        self._message_bytes = self._limits.message_bytes

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Inflate a data frame of a compressed message. Raises ``ProtocolError``, ``PayloadTooBig``."""
        if frame.opcode in CTRL_OPCODES:
            return frame  # never compressed; the library refuses RSV1 on it
        if frame.opcode is Opcode.CONT:
            if self._stream is None or frame.rsv1:
                return frame  # of a message that is not compressed; RSV1 belongs to the first frame, and is refused
        elif frame.rsv1:
            self._begin()
        else:
            return frame
        data = self._inflate(bytes(frame.data), max_size, is_last=frame.fin)
        if frame.fin:
            self._stream = None
        return Frame(frame.opcode, data, frame.fin, rsv2=frame.rsv2, rsv3=frame.rsv3)

    def encode(self, frame: Frame) -> Frame:
        """The library itself sends control frames only, which are never compressed."""
        return frame

    def _begin(self) -> None:
        if not self._message_bytes:
            raise CompressedTooEarly("compressed before CONNECTED")
        if self._stream is not None:
            raise ProtocolError("expected a continuation frame")
        self._stream = zlib.decompressobj(-_INFLATE_BITS)
        self._received_bytes = self._inflated_bytes = 0

    def _inflate(self, data: bytes, frame_bytes: int | None, *, is_last: bool) -> bytes:
        limits, done = self._limits, self._inflated_bytes
        self._received_bytes += len(data)
        by_ratio = max(limits.free_bytes, limits.ratio * self._received_bytes)
        room = min(self._message_bytes, by_ratio) - done
        if frame_bytes is not None:
            room = min(room, frame_bytes)
        try:
            # One byte more than there is room for: if that does not come, all input is used up and nothing is held back.
            inflated: bytes = self._stream.decompress(data + FLUSHED if is_last else data, room + 1)
        except zlib.error as error:
            raise ProtocolError("not DEFLATE data") from error
        if len(inflated) > room:
            too_much = InflatesTooMuch if room == by_ratio - done else PayloadTooBig
            raise too_much(None, room)
        if self._stream.eof and self._stream.unused_data.removesuffix(FLUSHED) not in _PADDING:
            raise ProtocolError("data behind the final DEFLATE block")
        self._inflated_bytes += len(inflated)
        return inflated


class Deflate(ServerExtensionFactory):
    """Answers offers (RFC 7692 section 7.1). One for all connections."""

    name = _NAME

    def __init__(self, limits: DeflateLimits) -> None:
        self._limits = limits
        # Framings are compared by identity: receivers share what they are sent by sharing this object.
        self._framings = {bits: DeflateFraming(bits, limits.least_bytes) for bits in range(_LEAST_BITS, _SENT_BITS + 1)}

    @property
    def serves_strangers(self) -> bool:
        """Whether something compressed is taken before the peer has said who it is."""
        return self._limits.stranger_bytes > 0

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Inflater]:
        """Accept one offer. Raises ``NegotiationError``: it is declined, and the client's next one is looked at."""
        if accepted_extensions:
            raise NegotiationError("one offer is accepted already")
        offered = _offered(params)
        sent_bits = min(offered.get("server_max_window_bits", _SENT_BITS), _SENT_BITS)
        if sent_bits < _LEAST_BITS:
            raise NegotiationError("a window of 8 bits is not written here")
        answer: list[ExtensionParameter] = [
            ("server_no_context_takeover", None),
            ("client_no_context_takeover", None),
            ("server_max_window_bits", str(sent_bits)),
        ]
        if offered.get("client_max_window_bits"):
            answer.append(("client_max_window_bits", str(offered["client_max_window_bits"])))
        return answer, Inflater(self._limits, self._framings[sent_bits])


def _offered(params: Sequence[ExtensionParameter]) -> dict[str, int]:
    """The parameters of an offer; 0 for one without a value. Raises ``NegotiationError`` for what the RFC does not know."""
    offered: dict[str, int] = {}
    for name, value in params:
        if name in offered:
            raise NegotiationError(f"{name} is offered twice")
        if value is None and (name in _WITHOUT_VALUE or name == "client_max_window_bits"):
            offered[name] = 0
        elif value in _WINDOW_BITS and name in ("client_max_window_bits", "server_max_window_bits"):
            offered[name] = _WINDOW_BITS[value]
        else:
            raise NegotiationError(f"{name}={value} cannot be offered")
    return offered
