"""What the tests of a deployment share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .dist import make_dist


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make dist`` makes."""
    return make_dist(tmp_path_factory.mktemp("dist") / "dist")
