"""stompest's own integration test, as it lies in its package, against a port; a second one is where nobody listens.

The fixed ports in it are replaced by these. It looks a tenth of a second ahead for what must come: half a second here.
"""

from __future__ import annotations

import sys
import unittest
from typing import Any

import stompest.tests  # type: ignore[import-untyped]

CUSTOMARY_PORT, DEAD_PORTS = "61613", ("61610", "61611")
WAIT_S = 0.5


def main(port: str, dead_port: str) -> int:
    """Run the tests; standard error tells of them. Returns the exit code."""
    stompest.tests.PORT = int(port)  # read when the module is imported
    from stompest.tests import sync_client_integration_test as integration

    theirs = integration.StompConfig

    def config(uri: str, **options: Any) -> Any:
        for dead in DEAD_PORTS:
            uri = uri.replace(dead, dead_port)
        return theirs(uri.replace(CUSTOMARY_PORT, port), **options)

    integration.StompConfig = config
    case = integration.SimpleStompIntegrationTest
    case.TIMEOUT = WAIT_S
    result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    print(result.testsRun)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
