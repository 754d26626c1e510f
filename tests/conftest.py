"""What every test stands on: an environment without settings of the machine's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def no_settings_from_outside() -> Iterator[None]:
    """Take WEBCHAT_ variables away, but for those of the tests: who runs them may have a service configured."""
    taken = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith("WEBCHAT_") and not name.startswith("WEBCHAT_TEST_")
    }
    yield
    os.environ.update(taken)


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
