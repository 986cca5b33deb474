"""Certificates for localhost, signed by themselves, as files."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import require_program


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key (PEM)."""

    certificate: Path
    key: Path


def issue(folder: Path, organisation: str) -> Issued:
    """Write a new pair, over the one that is there."""
    issued = Issued(folder / "fullchain.pem", folder / "privkey.pem")
    made = [require_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-days", "2", "-subj", f"/CN=localhost/O={organisation}", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(issued.key), "-out", str(issued.certificate)]
    subprocess.run([*made, *subject, *files], check=True, capture_output=True, timeout=60)
    return issued
