"""`/healthz` (the process serves) and `/readyz` (its database and file store work too). Neither is ever cached."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from werkzeug.wrappers import Response

from webchat_soap.domain.errors import WebchatError
from webchat_soap.domain.outages import Outage, outage_of
from webchat_soap.domain.ports import ChatStore, FileStore
from webchat_soap.web.answers import method_not_allowed, plain

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ANSWER_SECONDS: Final = 1.5
"""By when /readyz answers, whatever hangs: probes give up after a few seconds, and then know nothing."""

FRESH_SECONDS: Final = 1.0
"""A finding serves for so long: each look writes to the disk, and anybody may ask as often as he likes."""

_log = logging.getLogger(__name__)


class Health:
    """Answers for probes of load balancers and supervisors."""

    def __init__(self, *, chats: ChatStore, files: FileStore) -> None:
        self._parts = (_Part("database", chats.ping), _Part("files", files.ping))

    def healthz(self, environ: WSGIEnvironment) -> Response:
        """200 `ok`, without touching the stores: restarting the process would not mend a database."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD"))
        return plain(200, "ok")

    def readyz(self, environ: WSGIEnvironment) -> Response:
        """200 or 503 with `{"status": "ready" | "not ready", "database": "ok" | "failing", "files": …}`, and where
        something fails with `"causes": {"database": …}` in the words of Outage.

        Every part is asked, so that one answer names all that do not work; the rest stands in the log only, as one
        line for each look. Answers within ANSWER_SECONDS, what a look found at most FRESH_SECONDS ago.
        """
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD"))
        deadline = time.monotonic() + ANSWER_SECONDS
        for part in self._parts:
            part.look()
        causes = {part.name: str(cause) for part in self._parts if (cause := part.found(deadline)) is not None}
        states = {part.name: "failing" if part.name in causes else "ok" for part in self._parts}
        answer: dict[str, object] = {"status": "not ready" if causes else "ready", **states}
        if causes:
            answer["causes"] = causes
        return plain(503 if causes else 200, json.dumps(answer), {"Content-Type": "application/json"})


class _Part:
    """What is pinged, each time by a thread of its own, since a dead disk lets nobody go who has asked it."""

    def __init__(self, name: str, ping: Callable[[], None]) -> None:
        self.name = name
        self._ping = ping
        self._changed = threading.Condition()
        self._looking = False
        self._looked_at = float("-inf")
        self._cause: Outage | None = None

    def look(self) -> None:
        """Begin to look, unless somebody looks already or has just done so."""
        with self._changed:
            if self._looking or time.monotonic() - self._looked_at < FRESH_SECONDS:
                return
            thread = threading.Thread(target=self._run, name=f"look-at-{self.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no room for a thread
                self._conclude(Outage.NO_MEMORY, error)
            else:
                self._looking = True

    def found(self, deadline: float) -> Outage | None:
        """What is wrong, None where nothing is. Waits for the look until `deadline`."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._looking, max(0.0, deadline - time.monotonic())):
                _log.warning("not ready: %s (%s): the look at it does not end", self.name, Outage.NO_ANSWER)
                return Outage.NO_ANSWER
            return self._cause

    def _run(self) -> None:
        cause, error = None, None
        try:
            self._ping()
        except BaseException as raised:  # whatever it is, this part does not work, and a probe wants to know that
            error = raised
            cause = raised.outage if isinstance(raised, WebchatError) else outage_of(raised)
        with self._changed:
            self._looking = False
            self._conclude(cause or (Outage.OTHER if error else None), error)
            self._changed.notify_all()

    def _conclude(self, cause: Outage | None, error: BaseException | None) -> None:
        """Under the lock."""
        self._looked_at = time.monotonic()
        self._cause = cause
        if error is not None:
            _log.warning("not ready: %s (%s): %s", self.name, cause, _in_one_line(error))


def _in_one_line(error: BaseException) -> str:
    """The error and what caused it."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    return " ".join(" <- ".join(f"{type(each).__name__}: {each}" for each in chain).split())
