"""The quick start: its commands are run on what ``make run`` has started, and print what the page shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from stompgate import __version__
from tests.daemon_process import DEADLINE_S, READY, wait_until
from tests.pages import ROOT, blocks
from tests.requirements import left_out, require_program

PAGE = "docs/quickstart.md"
PORT = "8070"
MARK = "-- the next block --"


def run_make(folder: Path, runtime: str) -> subprocess.Popen[bytes]:
    """``make run`` on a free port, with its data in ``folder`` and its operator's socket in ``runtime``."""
    would = subprocess.run(["make", "--dry-run", "run"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    if "pip" in would.stdout:
        left_out("make run would install packages: what is set up is not of this state of the lock files")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STOMPGATE_")}
    environment |= {"STOMPGATE_LISTEN__PORT": "0", "STOMPGATE_STORE": f"sqlite://{folder}/chat.db"}
    environment["XDG_RUNTIME_DIR"] = runtime
    with (folder / "said").open("wb") as said, (folder / "log").open("wb") as log:
        make = ["make", "--no-print-directory", "run"]  # a make within another says where it is
        return subprocess.Popen(make, cwd=ROOT, env=environment, stdout=said, stderr=log, start_new_session=True)


def test_the_quick_start_is_true_from_make_run_to_its_end(tmp_path: Path) -> None:
    require_program("curl")
    with TemporaryDirectory() as runtime:
        made = run_make(tmp_path, runtime)
        try:
            wait_until(lambda: made.poll() is not None or b"ready" in (tmp_path / "said").read_bytes(), "it is ready")
            said = (tmp_path / "said").read_text()
            ready = READY.search(said)
            assert ready is not None, (tmp_path / "log").read_text()
            follow(said, ready[1], runtime)
        finally:
            os.killpg(made.pid, signal.SIGINT)
            made.wait(DEADLINE_S)
    assert '"stopped"' in (tmp_path / "log").read_text()


def follow(said: str, url: str, runtime: str) -> None:
    """Do what stands there. The blocks are one sitting at a terminal: what one has set the next ones know."""
    is_ready, *shown = blocks(PAGE, "text")
    assert_shown(is_ready, said, url)
    commands = [block.replace(f"http://localhost:{PORT}", url) for block in blocks(PAGE)]
    sitting = f"\necho {MARK}\n".join(commands)
    environment = {**os.environ, "XDG_RUNTIME_DIR": runtime}
    done = subprocess.run(["sh", "-euc", sitting], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    printed = [output for output in done.stdout.split(f"{MARK}\n") if output.strip()]
    for text, output in zip(shown, printed, strict=True):
        assert_shown(text, output, url)


def assert_shown(text: str, output: str, url: str) -> None:
    """A command has printed what the page shows, where "…" stands for anything."""
    shown = text.replace(f"http://localhost:{PORT}", url).replace("0.1.0", __version__).strip()
    assert re.fullmatch(re.escape(shown).replace("…", ".*?"), output.strip()), f"not as shown, {shown!r}: {output!r}"
