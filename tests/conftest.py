"""What every test stands on: an environment without settings of the machine's own."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.serving import Service, Soap, serving


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


@pytest.fixture(scope="session")
def start_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Service]]:
    """A function that starts a service with settings of its own; all stop at the end of the session."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(serving(tmp_path_factory.mktemp("service"), **settings))


@pytest.fixture(scope="session")
def service(start_service: Callable[..., Service]) -> Service:
    """One running service with default settings, shared by all tests: each uses chats of its own."""
    return start_service()


@pytest.fixture(scope="session", params=["WebchatSoap11", "WebchatSoap12"])
def soap(request: pytest.FixtureRequest, service: Service) -> Soap:
    """One text for both versions: every test that takes this runs over SOAP 1.1 and over SOAP 1.2."""
    return Soap(f"{service.address}?wsdl", request.param)


@pytest.fixture
def chat_id() -> str:
    """A CHATID of this test's own."""
    return f"test-{uuid.uuid4()}"
