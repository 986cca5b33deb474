"""stompjs 2.3.3: the QUnit pages in its npm package, which its authors wrote for another broker, pass against ours in Chromium.

Nothing of them is changed but the file that they name for it, ``unit/config.js``, and where jQuery comes from.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.async_api import Browser, expect

from tests.daemon_process import Daemon
from tests.requirements import require_node_package

TESTS = 27
EACH_MS = 20_000
ALL_MS = 60_000
CONFIG = """$(document).ready(function () {
  TEST = { destination: '/topic/chat.general', login: 'admin', password: 'password', debug: function () {} };
  Object.assign(TEST, %s);
});"""


async def test_its_own_pages_pass(browser: Browser, launch: Callable[..., Daemon]) -> None:
    package = require_node_package("stompjs") / "node_modules" / "stompjs"
    jquery = require_node_package("jquery") / "node_modules" / "jquery" / "dist" / "jquery.min.js"
    with served(package) as pages, socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"ws://127.0.0.1:{closed.getsockname()[1]}"
        closed.close()
        daemon = launch({"auth": {"anonymous": True}, "listen": {"allowed_origins": [pages]}})
        config = CONFIG % json.dumps({"url": daemon.ws_url, "badUrl": nobody, "timeout": EACH_MS})
        page = await browser.new_page()
        await page.route("**/jquery.min.js", lambda route: route.fulfill(path=jquery))
        await page.route("**/unit/config.js", lambda route: route.fulfill(body=config, content_type="text/javascript"))
        await page.goto(f"{pages}/browsertests/index.html")
        await expect(page.locator("#qunit-banner.qunit-pass, #qunit-banner.qunit-fail")).to_have_count(1, timeout=ALL_MS)
        assert await page.locator("#qunit-tests > li.fail").all_inner_texts() == []
        assert await page.locator("#qunit-tests > li.pass").count() == TESTS


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of a folder over HTTP; gives the origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Writes nothing to standard error."""

    def log_message(self, format: str, *args: object) -> None:
        pass
