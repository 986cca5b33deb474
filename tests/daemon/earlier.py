"""The program as it was just before the newest change of the schema, built as a wheel and installed beside today's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.dist import ROOT, environment_with
from tests.deploy.packages import wheel_in

_MIGRATIONS = "stompgate/stores/migrations/mysql"


def earlier_program(folder: Path) -> tuple[str, ...]:
    """The command that runs it. A test is left out where the history is not there to build it from."""
    tree = folder / "tree"
    tree.mkdir()
    archive = subprocess.run(["git", "archive", f"{_newest_change()}^"], cwd=ROOT, capture_output=True, timeout=60, check=True)
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, timeout=60, check=True)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=tree, capture_output=True, timeout=300, check=True)
    environment = environment_with(wheel_in(folder), folder / "environment")
    return (str(environment / "bin" / "python"), "-I", "-m", "stompgate")


def _newest_change() -> str:
    """The commit that added the newest migration."""
    asked = ["git", "log", "--max-count=1", "--diff-filter=A", "--format=%H %P", "--", _MIGRATIONS]
    try:
        found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no clone of the repository")
    commit, _, parent = found.stdout.strip().partition(" ")
    if not parent:
        pytest.skip("the clone is too shallow for an earlier version")
    return commit
