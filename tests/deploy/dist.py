"""The files of ``make dist``, and environments they are installed into."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pytest

from .packages import install, link

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "run.lock"


def make_dist(folder: Path) -> Path:
    """Run it; the folder with its files."""
    made = subprocess.run(
        ["make", "dist", f"DIST={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert made.returncode == 0, made.stderr
    return folder


def environment_with(wheel: Path, folder: Path) -> Path:
    """An environment that was empty, with a wheel and what the lock file names."""
    venv.create(folder, with_pip=False, symlinks=True)
    link(LOCK, folder)
    install(wheel, folder)
    return folder


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make dist`` makes, once for all tests of a run."""
    return make_dist(tmp_path_factory.mktemp("dist") / "dist")
