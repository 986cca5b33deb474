"""The project's pages, and the blocks of code that stand in them, by the kind that their fence names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")


def all_blocks(page: Path) -> list[tuple[str, str]]:
    """The blocks of a page, as kind and text."""
    return _BLOCK.findall(page.read_text())


def blocks(name: str, kind: str = "sh") -> list[str]:
    """The blocks of one kind in ``name``, a path below the project's root."""
    return [text for found, text in all_blocks(ROOT / name) if found == kind]


def without_blocks(page: Path) -> str:
    """What else stands there."""
    return _BLOCK.sub("", page.read_text())
