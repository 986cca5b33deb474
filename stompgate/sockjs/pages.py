"""The fixed texts of SockJS: the greeting, the page for iframes, and what ``info`` says."""

from __future__ import annotations

import html
import json
from typing import Final

GREETING: Final = b"Welcome to SockJS!\n"

_IFRAME: Final = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script>
    document.domain = document.domain;
    _sockjs_onload = function(){SockJS.bootstrap_iframe();};
  </script>
  <script src="%s"></script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""


def iframe_page(client_url: str) -> bytes:
    """The page that loads the client library within an iframe, to the letter of the protocol."""
    return (_IFRAME % html.escape(client_url)).encode()


def info(entropy: int, *, has_websocket: bool, needs_cookie: bool) -> bytes:
    """What a client asks before it begins. ``entropy``: 32 unpredictable bits, of which a browser may have too few."""
    facts = {"entropy": entropy, "origins": ["*:*"], "cookie_needed": needs_cookie, "websocket": has_websocket}
    return json.dumps(facts, separators=(",", ":")).encode()
