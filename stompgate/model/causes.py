"""The one table of errors and close causes.

ERROR frames, WebSocket closes, HTTP problem documents, log lines, counters and the documentation are all made from it,
so that a failure has the same name wherever it is seen. It must never hold a text that is not safe to show a client.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class CauseFacts:
    """What the outside sees of a cause.

    ``code`` is stable and machine-readable, ``text`` one public English sentence, ``close_code`` a WebSocket close code
    (RFC 6455 section 7.4), ``http_status`` the status of the problem document (RFC 9457), ``retry`` says whether the same
    request or connection may succeed when it is tried again unchanged. ``is_soft``: it concerns the application and not the
    protocol, so that a connection that asked for ``errors:soft`` is told and lives.
    """

    code: str
    text: str
    close_code: int
    http_status: int
    retry: bool
    is_soft: bool = False


class Cause(Enum):
    """Why a frame or request was refused, or a connection ended."""

    # The ordinary ends of a connection.
    DISCONNECTED = CauseFacts("disconnected", "The client disconnected.", 1000, 200, True)
    PEER_LEFT = CauseFacts("peer-left", "The client left without DISCONNECT.", 1006, 200, True)
    SERVER_STOPPING = CauseFacts("server-stopping", "The server is going down; come back.", 1012, 503, True)

    # What is no STOMP, or no frame for this moment.
    BROKEN_FRAME = CauseFacts("broken-frame", "This is not a valid STOMP frame.", 1002, 400, False)
    FRAME_TOO_LARGE = CauseFacts("frame-too-large", "The frame is larger than this server takes.", 1009, 413, False)
    UNKNOWN_COMMAND = CauseFacts("unknown-command", "There is no such STOMP command.", 1002, 400, False)
    NOT_CONNECTED = CauseFacts("not-connected", "The first frame must be CONNECT or STOMP.", 1002, 401, False)
    ALREADY_CONNECTED = CauseFacts("already-connected", "This connection is connected already.", 1002, 400, False)
    NO_COMMON_VERSION = CauseFacts("no-common-version", "No STOMP version in common.", 1002, 400, False)
    MISSING_HEADER = CauseFacts("missing-header", "A required header is missing.", 1002, 400, False)
    BAD_HEADER = CauseFacts("bad-header", "A header has a value that cannot be used.", 1002, 400, False)
    DUPLICATE_SUBSCRIPTION = CauseFacts("duplicate-subscription", "This subscription id is in use.", 1002, 409, False)
    UNKNOWN_ACK = CauseFacts("unknown-ack", "There is no such message to acknowledge.", 1002, 404, False)
    UNKNOWN_TRANSACTION = CauseFacts("unknown-transaction", "There is no such open transaction.", 1002, 404, False)
    DUPLICATE_TRANSACTION = CauseFacts("duplicate-transaction", "This transaction is open already.", 1002, 409, False)
    WRONG_PORT = CauseFacts("wrong-port", "This port takes something else.", 1002, 400, False)
    BROKEN_WEBSOCKET = CauseFacts("broken-websocket", "The WebSocket stream is not valid.", 1002, 400, False)
    BROKEN_SOCKJS = CauseFacts("broken-sockjs", "This is not what a SockJS client sends.", 1007, 400, False)
    NOT_UTF8 = CauseFacts("not-utf8", "Text must be UTF-8.", 1007, 400, False)

    # What the application refuses.
    TRANSACTION_FAILED = CauseFacts("transaction-failed", "A frame of this transaction was refused.", 1008, 409, False, True)
    BAD_DESTINATION = CauseFacts("bad-destination", "There is no such destination.", 1008, 404, False, True)
    FORBIDDEN_DESTINATION = CauseFacts("forbidden-destination", "This destination is not open to you.", 1008, 403, False, True)
    NO_SUCH_ROOM = CauseFacts("no-such-room", "There is no such room among yours.", 1008, 404, False, True)
    BAD_BODY = CauseFacts("bad-body", "The body is not what this destination takes.", 1008, 400, False, True)
    BODY_TOO_LONG = CauseFacts("body-too-long", "The message is longer than this server takes.", 1009, 413, False, True)
    WRONG_SENDER = CauseFacts("wrong-sender", "The message names another sender than you.", 1008, 403, False, True)
    IDENTITY_REQUIRED = CauseFacts("identity-required", "Say who you are.", 1008, 401, False, True)
    WRONG_PASSWORD = CauseFacts("wrong-password", "Login and passcode do not fit.", 1008, 401, False)
    ORIGIN_REFUSED = CauseFacts("origin-refused", "Pages of this origin may not connect here.", 1008, 403, False)
    OPERATORS_ONLY = CauseFacts("operators-only", "Only operators may see this.", 1008, 403, False)
    TOKEN_REQUIRED = CauseFacts("token-required", "This needs the operator's token.", 1008, 401, False)

    # Limits and time-outs.
    TOO_MANY_SUBSCRIPTIONS = CauseFacts("too-many-subscriptions", "Too many subscriptions.", 1008, 429, False)
    QUEUE_FULL = CauseFacts("queue-full", "Too many messages wait in this queue; try later.", 1013, 503, True, True)
    TOO_MANY_TRANSACTIONS = CauseFacts("too-many-transactions", "Too many open transactions.", 1008, 429, False)
    TRANSACTION_TOO_LARGE = CauseFacts("transaction-too-large", "The transaction is too large.", 1009, 413, False)
    TOO_MANY_UNACKED = CauseFacts("too-many-unacked", "Too many messages wait for an ACK.", 1008, 429, True)
    TOO_MANY_REQUESTS = CauseFacts("too-many-requests", "Too many requests; try later.", 1008, 429, True)
    TOO_MANY_CONNECTIONS = CauseFacts("too-many-connections", "The server is full; try later.", 1013, 503, True)
    SLOW_CONSUMER = CauseFacts("slow-consumer", "You read more slowly than messages come.", 1013, 503, True)
    HEARTBEAT_LOST = CauseFacts("heartbeat-lost", "No heart-beat came in time.", 1002, 408, True)
    FIRST_FRAME_LATE = CauseFacts("first-frame-late", "No CONNECT came in time.", 1008, 408, True)
    HEAD_LATE = CauseFacts("head-late", "The request did not come in time.", 1008, 408, True)

    # The server's own troubles.
    STORE_UNAVAILABLE = CauseFacts("store-unavailable", "Messages cannot be stored now; try later.", 1013, 503, True, True)
    OUTCOME_UNKNOWN = CauseFacts(
        "outcome-unknown",
        "It is not known whether the message was stored; send it again with the same client-message-id.",
        1013,
        503,
        True,
        True,
    )
    OVERLOADED = CauseFacts("overloaded", "The server has too much to do; try later.", 1013, 503, True, True)
    INTERNAL = CauseFacts("internal", "The server made a mistake.", 1011, 500, True)

    # HTTP alone.
    BAD_REQUEST = CauseFacts("bad-request", "The request is not what this path takes.", 1008, 400, False)
    NOT_FOUND = CauseFacts("not-found", "There is nothing at this path.", 1008, 404, False)
    NO_SUCH_SESSION = CauseFacts("no-such-session", "This server has no such SockJS session.", 1008, 404, False)
    METHOD_NOT_ALLOWED = CauseFacts("method-not-allowed", "This path does not take this method.", 1008, 405, False)

    @property
    def code(self) -> str:
        return self.value.code

    @property
    def text(self) -> str:
        return self.value.text

    @property
    def close_code(self) -> int:
        return self.value.close_code

    @property
    def http_status(self) -> int:
        return self.value.http_status

    @property
    def retry(self) -> bool:
        return self.value.retry

    @property
    def is_soft(self) -> bool:
        return self.value.is_soft


class Refusal(Exception):
    """Something asked for is not done, for a cause of the table.

    ``explanation`` is public: it says what was expected, and goes into the body of an ERROR frame or the ``detail`` of a
    problem document. ``detail`` is for the log alone.
    """

    def __init__(self, cause: Cause, explanation: str = "", *, detail: str = "") -> None:
        super().__init__(cause.code, explanation, detail)
        self.cause = cause
        self.explanation = explanation or cause.text
        self.detail = detail

    def problem(self) -> dict[str, object]:
        """The refusal as the members of a problem document (RFC 9457)."""
        return {
            "type": f"urn:stompgate:problem:{self.cause.code}",
            "title": self.cause.text,
            "status": self.cause.http_status,
            "detail": self.explanation,
            "code": self.cause.code,
        }
