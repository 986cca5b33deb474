"""What a test needs beside Python: found, or the test is left out by name; where CI is set it fails instead."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

NODE_FOLDER = Path(__file__).parent / "node"


def find_program(*names: str) -> str | None:
    """Return the path of the first of these programs, looked for also where servers are put, which PATH may leave out."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def require_program(*names: str) -> str:
    """Return the path of the first of these programs."""
    return find_program(*names) or left_out(f"{' or '.join(names)} is not in PATH")


def require_node_package(name: str) -> Path:
    """Return the folder to run ``node`` in, where a script can import the package ``name``."""
    require_program("node")
    if not (NODE_FOLDER / "node_modules" / name).is_dir():
        left_out(f"the npm package {name} is not installed in {NODE_FOLDER}")
    return NODE_FOLDER


def left_out(reason: str) -> NoReturn:
    """Leave the test out for this reason, or fail it where every test is to run."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI is to run every test", pytrace=False)
    pytest.skip(f"{reason}; make test installs what it can")
