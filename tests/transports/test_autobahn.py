"""RFC 6455 and RFC 7692 to the letter: the cases of the Autobahn test suite, run by ``kosoku`` against our own class.

``python -m tests.transports.test_autobahn`` runs every case, the two long groups on compression included.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from kosoku import FailureError, run_fuzzingclient

# The suite leaves the files that it sends from to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*autobahntestsuite:ResourceWarning")

RUN_S = 240.0
WHOLE_RUN_S = 3600.0
ENDS_S = 10.0
NOT_STRICT = {
    # Text that is not UTF-8 is refused at the end of its WebSocket frame, not at the first such byte within one.
    "6.4.3",
    "6.4.4",
}
BEFORE_LIMITS = 247
"""So many cases are there besides limits (group 9) and compression (groups 12 and 13)."""
LIMITS = 54
OFFERS = [f"13.{offer}.{case}" for offer in range(1, 8) for case in (1, 5, 11)]
"""Each of the seven sets of offers, with the smallest messages, with 4 KiB, and with fragments."""


@contextmanager
def echo_server(*options: str) -> Iterator[str]:
    """The URL of an echo server in a process of its own, which must end well."""
    command = [sys.executable, "-m", "tests.websocket_echo", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("echo at "), said
            yield said.split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(ENDS_S) == 0


async def run_cases(url: str, cases: Sequence[str] | None, without: Sequence[str] = (), within_s: float = RUN_S) -> int:
    """Run cases and print what is not strict; return how many there were. Fails if one fails."""
    try:
        async with asyncio.timeout(within_s):
            results = await run_fuzzingclient(url, cases, without, concurrency=4)
    except FailureError as failure:
        results = failure.results
    failed = [f"{case.case_id}: {case.result} {case.result_close}" for case in results if not case.passed]
    assert not failed, "\n".join(failed)
    lenient = {case.case_id for case in results if case.behavior.value == "NON-STRICT"}
    # Beside pytest's capturing, since this is to be seen also where all is well.
    print(f"{len(results)} cases passed; not strict: {', '.join(sorted(lenient)) or 'none'}", file=sys.__stdout__)
    assert lenient <= NOT_STRICT
    return len(results)


async def test_every_case_but_limits_and_compression_passes() -> None:
    with echo_server() as url:
        assert await run_cases(url, None, ["9.*", "12.*", "13.*"]) == BEFORE_LIMITS


async def test_large_messages_and_many_fragments_pass() -> None:
    with echo_server() as url:
        assert await run_cases(url, ["9.*"]) == LIMITS


async def test_every_kind_of_offer_of_compression_passes() -> None:
    with echo_server("--deflate") as url:
        assert await run_cases(url, OFFERS) == len(OFFERS)


async def test_a_client_without_compression_is_served_where_others_have_it() -> None:
    with echo_server("--deflate") as url:
        assert await run_cases(url, ["1.*"])


async def run_all() -> None:
    """Every case, with and without compression."""
    for options in ((), ("--deflate",)):
        with echo_server(*options) as url:
            await run_cases(url, None, () if options else ["12.*", "13.*"], WHOLE_RUN_S)


if __name__ == "__main__":
    asyncio.run(run_all())
