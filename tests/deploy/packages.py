"""What a lock file names, put into an empty environment from what is installed here: no index is asked.

As a program it stands in for ``pip install`` of an environment made by ``deploy/ec2/install.sh``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest


def locked(lock: Path) -> list[str]:
    """The distributions of a lock file."""
    return re.findall(r"(?m)^([\w.-]+)==", lock.read_text())


def link(lock: Path, environment: Path) -> None:
    """Put what ``lock`` names, and nothing else, into the environment."""
    (site_packages,) = environment.glob("lib/python*/site-packages")
    for name in locked(lock):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            target = site_packages / top
            if not target.exists():
                target.symlink_to(Path(str(found.locate_file(top))))


def install(wheel: Path, environment: Path) -> None:
    """Install a wheel itself."""
    python = str(environment / "bin" / "python")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(command, check=True, timeout=120)


def main(words: list[str]) -> None:
    """``install … --requirement LOCK`` or ``install … WHEEL`` for the environment that is named by the caller's folder."""
    *_, last = words
    environment = sorted(Path(words[0]).glob("opt/stompgate/releases/*"), key=lambda release: release.stat().st_mtime)[-1]
    if "--requirement" in words:
        link(Path(last), environment)
    else:
        install(Path(last), environment)


if __name__ == "__main__":
    main(sys.argv[1:])


def wheel_in(folder: Path) -> Path:
    """The one wheel of a folder."""
    wheels = list(folder.glob("stompgate-*.whl"))
    if len(wheels) != 1:
        pytest.fail(f"expected one wheel in {folder}: {wheels}")
    return wheels[0]
