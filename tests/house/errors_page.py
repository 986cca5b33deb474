"""Writes docs/errors.md from the table of causes: ``python -m tests.house.errors_page > docs/errors.md``."""

from __future__ import annotations

from stompgate.model.causes import Cause

HEAD = """\
# Errors and closes

Everything that is refused, and every end of a connection, has one cause of this table. Over STOMP it is an ERROR frame
(`message` is the text, `code` the code, `retry` whether coming back helps, the body says what was expected, `receipt-id`
names the frame that asked for a receipt), then a WebSocket close with the close code and the code as its reason. Over
HTTP it is the status with a problem document (RFC 9457) of type `urn:stompgate:problem:` and the code. The log and the
counters use the same codes.

This page is made from `stompgate/model/causes.py`.

A client that sends `errors:soft` in CONNECT and subscribes to `/user/queue/errors` gets those marked as soft as a MESSAGE
there, with the headers `message`, `code` and `receipt-id` and the problem document as its body, and its connection lives.

| Code | Text | Close | Status | Coming back helps | Soft |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = (
        f"| `{c.code}` | {c.text} | {c.close_code} | {c.http_status} | {_yes(c.retry)} | {_yes(c.is_soft)} |\n" for c in Cause
    )
    return HEAD + "".join(rows)


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


if __name__ == "__main__":
    print(page(), end="")
