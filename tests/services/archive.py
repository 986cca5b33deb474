"""Makes the archive of Kafka's loaded classes, which halves the time and the CPU of each of its starts.

``python -m tests.services.archive``; without the archive, or with one of another Java, Kafka starts all the same.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from .kafka import ARCHIVE, Kafka
from .service import NotStarted, Service


def main() -> int:
    """Run Kafka once, and let it write down its classes when it ends. Returns the exit code."""
    raw = ARCHIVE.with_suffix(".new")
    with tempfile.TemporaryDirectory() as folder:
        kafka = Service(replace(Kafka(Path(folder)), jvm_options=(f"-XX:ArchiveClassesAtExit={raw}",)))
        try:
            kafka.start()
        except NotStarted as reason:
            print(reason, file=sys.stderr)
            return 1
        kafka.stop()
    raw.replace(ARCHIVE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
