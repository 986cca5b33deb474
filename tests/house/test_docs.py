"""The documentation names files and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import errors_page, metrics_page

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


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


def test_the_promises_name_their_tests() -> None:
    rows = [line for line in (ROOT / "docs/delivery.md").read_text().splitlines() if line.startswith("| ")]
    without = [row for row in rows[1:] if "`tests/" not in row]
    assert len(rows) > 10
    assert without == []


def _text(path: str) -> str:
    file = ROOT / path
    return file.read_text() if file.exists() else ""


def test_the_page_of_errors_is_in_step_with_the_table() -> None:
    assert (ROOT / "docs/errors.md").read_text() == errors_page.page()


def test_the_page_of_metrics_is_in_step_with_what_is_measured() -> None:
    assert (ROOT / "docs/operations/metrics.md").read_text() == metrics_page.page()
