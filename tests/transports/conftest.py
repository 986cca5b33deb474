"""What several tests of the transports need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.certificates import issue


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    issued = issue(tmp_path_factory.mktemp("tls"), "any")
    return issued.certificate, issued.key
