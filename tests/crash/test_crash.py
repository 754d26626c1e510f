"""However the service is killed: nothing acknowledged is lost, nothing comes twice.

Every run of the tests plays some rounds; `make crash` plays 200 with one worker and 200 with three
(WEBCHAT_TEST_CRASH_ROUNDS). WEBCHAT_TEST_CRASH_SEED repeats a run's choices, though not its timing.
"""

from __future__ import annotations

import os
import random
import secrets
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.driver import Driver
from tests.crash.process import Service, quiet_port
from tests.file_host import FileHost

ROUNDS = int(os.environ.get("WEBCHAT_TEST_CRASH_ROUNDS", "4"))
SEED = os.environ.get("WEBCHAT_TEST_CRASH_SEED")

pytestmark = pytest.mark.timeout(120 + 30 * ROUNDS)


@pytest.fixture
def quick_turns() -> Iterator[None]:
    """32 busy threads would keep the one that waits for a moment from seeing it for 5 ms each."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_turns")
@pytest.mark.parametrize("workers", [1, 3])
def test_however_it_is_killed_nothing_acknowledged_is_lost_and_nothing_comes_twice(
    workers: int, tmp_path: Path
) -> None:
    seed = SEED or secrets.token_hex(4)
    print(f"\n{workers} worker(s), {ROUNDS} rounds, WEBCHAT_TEST_CRASH_SEED={seed}")
    source = random.Random(seed)
    unlimited = {"MAX_FILES_PER_CHAT": "100000", "MAX_BYTES_PER_CHAT": "100GiB"}
    began = time.monotonic()
    with FileHost() as host:
        allow = f"127.0.0.1:{host.port}"
        service = Service(tmp_path / "data", port=quiet_port(), workers=workers, FETCH_ALLOW=allow, **unlimited)
        driver = Driver(service=service, host=host, source=source)
        try:
            service.start()
            for number in range(1, ROUNDS + 1):
                deep = ROUNDS <= 20 or number % 10 == 0
                started = time.monotonic()
                blow, moment = driver.choose()
                print(f"  round {number}: {blow} {moment}", end="", flush=True)
                driver.play(number, blow, moment, deep=deep)
                print(f", {time.monotonic() - started:.1f} s", flush=True)
            driver.finish()
        except BaseException:
            print(service.said())
            raise
        finally:
            driver.close()
    seconds = time.monotonic() - began
    print(f"  {seconds:.0f} s, {seconds / ROUNDS:.1f} a round, {service.starts} starts,", end=" ")
    print(f"median {statistics.median(driver.start_seconds):.2f} s to start,", end=" ")
    print(f"longest try {driver.longest_try_seconds:.1f} s")
    for what, number in sorted(driver.counts.items()):
        print(f"  {number:7d} {what}")
    assert driver.counts["acknowledged"] >= 40 * ROUNDS
