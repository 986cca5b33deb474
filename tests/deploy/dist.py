"""What ``make dist`` makes, once for all tests of a run."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

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
