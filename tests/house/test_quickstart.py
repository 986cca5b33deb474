"""The quick start: its commands are run on what ``make run`` has started, and print what the page shows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

from stompgate import __version__
from tests.daemon_process import DEADLINE_S, READY, wait_until
from tests.pages import ROOT, blocks
from tests.requirements import left_out, require_program
from tests.wire_client import connected, make_room

PAGE = "docs/quickstart.md"
PORT = "8070"


def run_make(folder: Path) -> subprocess.Popen[bytes]:
    """``make run`` on a free port, with its data in ``folder``."""
    would = subprocess.run(["make", "--dry-run", "run"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    if "pip" in would.stdout:
        left_out("make run would install packages: what is set up is not of this state of the lock files")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STOMPGATE_")}
    environment |= {"STOMPGATE_LISTEN__PORT": "0", "STOMPGATE_STORE": f"sqlite://{folder}/chat.db"}
    with (folder / "said").open("wb") as said, (folder / "log").open("wb") as log:
        return subprocess.Popen(["make", "run"], cwd=ROOT, env=environment, stdout=said, stderr=log, start_new_session=True)


async def test_the_quick_start_is_true_from_make_run_to_its_end(tmp_path: Path) -> None:
    require_program("curl")
    made = run_make(tmp_path)
    try:
        wait_until(lambda: made.poll() is not None or b"ready" in (tmp_path / "said").read_bytes(), "it is ready")
        said = (tmp_path / "said").read_text()
        ready = READY.search(said)
        assert ready is not None, (tmp_path / "log").read_text()
        await follow(said, ready[1])
    finally:
        os.killpg(made.pid, signal.SIGINT)
        made.wait(DEADLINE_S)
    assert '"stopped"' in (tmp_path / "log").read_text()


async def follow(said: str, url: str) -> None:
    """Do what stands there."""
    create, history, refused, ready, figures = blocks(PAGE)
    is_ready, rows, message, problem, health, count = blocks(PAGE, "text")
    assert_shown(is_ready, said, url)
    assert_shown(rows, run(create, url), url)
    room = await make_room(url, "alice", "bob", "bicycle")
    async with connected(url.replace("http", "ws", 1) + "/ws-stomp", "alice") as browser:
        await browser.send(f"/pub/room/{room}/message", json.dumps({"content": "Is it still there?"}))
    assert_shown(message, run(history, url), url)
    assert_shown(problem, run(f"room={room}\n{refused}", url), url)
    assert_shown(health, run(ready, url), url)
    assert_shown(count, run(figures, url), url)


def run(block: str, url: str) -> str:
    """What a block prints."""
    text = block.replace(f"http://localhost:{PORT}", url)
    return subprocess.run(["sh", "-euc", text], capture_output=True, text=True, check=True, timeout=60).stdout


def assert_shown(text: str, output: str, url: str) -> None:
    """A command has printed what the page shows, where "…" stands for anything."""
    shown = text.replace(f"http://localhost:{PORT}", url).replace("0.1.0", __version__).strip()
    assert re.fullmatch(re.escape(shown).replace("…", ".*?"), output.strip()), f"not as shown, {shown!r}: {output!r}"
