"""The documentation names files and tests that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from stompgate.model.causes import Cause
from tests.pages import PAGES, ROOT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())
    gone = [f"{path}::{name}" for path, name in named if f"def {name}(" not in _text(path)]
    assert gone == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    gone = [target for target in targets if not (page.parent / target).exists()]
    assert gone == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`(\w+/[\w/]+\.(?:py|md|sh|toml))`", page.read_text())
    gone = [name for name in named if not any((ROOT / place / name).exists() for place in ("", "stompgate"))]
    assert gone == []


def test_the_promises_name_their_tests() -> None:
    rows = [line for line in (ROOT / "docs/delivery.md").read_text().splitlines() if line.startswith("| ")]
    without = [row for row in rows[1:] if "`tests/" not in row]
    assert len(rows) > 10
    assert without == []


def _text(path: str) -> str:
    file = ROOT / path
    return file.read_text() if file.exists() else ""


def test_the_programs_on_the_page_for_clients_are_the_files_that_are_run() -> None:
    page = (ROOT / "docs/clients.md").read_text()
    shown = dict(re.findall(r"^\[`(examples/[^`]+)`\]\(\.\./\1\)\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert shown == {path: _text(path) for path in shown}
    tracked = subprocess.run(["git", "ls-files", "examples"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.split()) - shown.keys() == {"examples/javascript/chat.html", "examples/javascript/package.json"}


def test_what_the_page_of_failures_names_exists() -> None:
    page = (ROOT / "docs/operations/failures.md").read_text()
    sources = "".join(file.read_text() for file in (ROOT / "stompgate").rglob("*.py"))
    logged = [" ".join(words.split()) for words in re.findall(r"(?m)^- \*\*Log:\*\*(.*(?:\n  .*)*)", page)]
    said = [quoted for line in logged for quoted in re.findall(r"`([^`]+)`", line) if " " in quoted]
    pieces = [piece.strip() for quoted in said for piece in re.split("…|NAME", quoted)]
    codes = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", page)) - {"client-message-id", "receipt-id"}
    figures = set(re.findall(r"`((?:stompgate|process)_\w+)`", page))
    assert len(pieces) > 20
    assert [piece for piece in pieces if piece not in sources] == []
    assert codes <= {cause.code for cause in Cause}
    assert figures <= set(re.findall(r"`(\w+)`", (ROOT / "docs/operations/metrics.md").read_text()))


def test_every_heading_that_a_page_points_to_exists() -> None:
    gone = []
    for page in PAGES:
        for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)]+)\)", page.read_text()):
            text = (page.parent / target if target else page).read_text()
            if heading not in {_anchor(title) for title in re.findall(r"(?m)^#+ (.*)$", text)}:
                gone.append(f"{page.name}: {target}#{heading}")
    assert gone == []


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
